# SPDX-License-Identifier: Apache-2.0
"""A simulated cloud: the APIs of Keystone, Placement, Glance and Nova.

It speaks as much of them as host recovery needs, so that the real clients
run against it unchanged, with a clock that can be moved and faults that can
be given as input.  What Nova does was measured on Nova 34 and read in its
source; ``tests/contract`` holds both to the same statements.

=============  ========================================================
``clock``      real time plus an offset
``model``      what the cloud consists of
``cloud``      the state and what happens to it over time
``evacuation`` the life of one evacuation
``building``   a cloud from a plain dict
``catalogue``  its flavors and images
``providers``  what its hosts have, and who uses it
``faults``     what goes wrong, and when
``calls``      one readable line for each request
``web``        requests, microversions, error bodies
``keystone``, ``nova``, ``services``, ``hypervisors``,
``servers``, ``actions``, ``migrations``,
``listing``, ``views``, ``placement``, ``candidates``,
``traits``, ``glance``
               the request handlers
``app``        the WSGI application
``server``     the application on a loopback socket
=============  ========================================================
"""
