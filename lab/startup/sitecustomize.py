# SPDX-License-Identifier: Apache-2.0
"""Read by every Python of the lab when it starts.

Looking for garbage while OpenStack is imported takes a fifth of the time of
the imports, and there are some twenty of them on each start of the lab.
"""

import gc

gc.set_threshold(100_000, 20, 20)
