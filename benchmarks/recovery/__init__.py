# SPDX-License-Identifier: Apache-2.0

"""Host recovery side by side on the lab's real Nova.

The same cloud is prepared the same way before each run, one host dies, and
one tool recovers its instances while an observer reads Nova's database.
``docs/benchmarks.rst`` says what is measured and what came of it.
"""
