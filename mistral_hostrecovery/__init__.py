# SPDX-License-Identifier: Apache-2.0

"""Recover the instances of a failed compute host with Mistral."""
