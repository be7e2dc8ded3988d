# SPDX-License-Identifier: Apache-2.0

"""Does a recovery end, whatever is killed while it goes on?

A trial lets a host fail, hits one or several processes at one point of the
recovery, and then looks at Nova and at the guests themselves, not only at what
Mistral says about them::

    python3 -m tests.chaos run --trials 100 --workers 3 --results FILE
    python3 -m tests.chaos table FILE

And where it does not end by itself, does it with what the operator is told?

    python3 -m tests.chaos outage all --seconds 180

==============  ============================================================
``matrix``      what is hit, where and how; trials from a seed (pure)
``judge``       what was seen in, what was wrong out (pure)
``results``     a line for each trial in a file that is kept; the table
``stage``       what one trial needs of the cloud that it runs on
``simulated``   real Mistral, broker and database; simulated Nova
``real``        everything real but the hypervisor
``trial``       one trial
``outages``     what an operator ends, and how (pure)
``operating``   where outages happen, and the operator's commands
==============  ============================================================
"""
