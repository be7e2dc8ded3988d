# SPDX-License-Identifier: Apache-2.0

"""What one plan costs: `python3 -m benchmarks.plan [INSTANCES [HOSTS]]`.

Verdicts, waves and the capacity preview for a host with many instances of
many flavors, as hostrecovery.plan_recovery makes them.  A second is what this
machine makes of it; the memory is the same everywhere.
"""

import sys
import time
import tracemalloc

from mistral_hostrecovery import capacity
from mistral_hostrecovery import model
from mistral_hostrecovery import plan
from mistral_hostrecovery import policy

FLAVORS = 50
IMAGES = 50


def main(instances: int = 2000, hosts: int = 1000) -> None:
    """Plan so many instances for a cloud of so many hosts."""
    around = plan.Surroundings(
        "c1",
        [
            model.Flavor(f"f{n}", {"hostrecovery:priority": str(n * 20)})
            for n in range(FLAVORS)
        ],
        {
            f"i{n}": model.Image(f"i{n}", f"image {n}", True, frozenset(), {})
            for n in range(IMAGES)
        },
        [model.Aggregate("rack", frozenset({"c1"}), {"evacuable": "true"})],
    )
    candidates = [
        model.Candidate(
            f"instance-{n}",
            f"name-{n}",
            "active",
            None,
            "c1",
            volume_backed=False,
            selected=True,
            moving_to=None,
            metadata={"hostrecovery:recover": "maybe"} if n % 10 == 0 else {},
            image=f"i{n % IMAGES}",
            flavor=n % FLAVORS,
        )
        for n in range(instances)
    ]
    disks = {c.id: ("shared", "the request says so") for c in candidates}
    sizes = [capacity.shape({"VCPU": n + 1}, {}) for n in range(20)]
    shapes = {c.id: sizes[n % 20] for n, c in enumerate(candidates)}
    names = [f"host-{n}" for n in range(hosts)]
    rooms = capacity.Rooms(
        dict.fromkeys(sizes, names), {name: {"VCPU": 16} for name in names}
    )

    def made() -> capacity.Preview:
        verdicts, _, _ = plan.judge(candidates, disks, around, policy.Policy())
        waves = [(v.wave, v.instance) for v in verdicts if v.recover]
        return capacity.preview(waves, shapes, rooms)

    began = time.process_time()
    preview = made()
    seconds = time.process_time() - began
    # Apart, because watching the memory takes time.
    tracemalloc.start()
    made()
    peak = tracemalloc.get_traced_memory()[1] / 2**20
    print(
        f"{instances} instances, {hosts} hosts: {seconds:.2f} s of CPU,"
        f" {peak:.0f} MiB more at the peak, {preview.without_room} without"
        " room"
    )


if __name__ == "__main__":
    main(*(int(argument) for argument in sys.argv[1:]))
