# SPDX-License-Identifier: Apache-2.0
"""Actions around an evacuation: start, stop, reset, confirm."""

from typing import Any

from tests.contract import base

SPEC = {"hw:tpm_version": "2.0"}


class Actions(base.CloudContract):
    def act(self, instance: str, name: str, value: Any = None) -> Any:
        return self.action(instance, **{name: value})

    def state(self, instance: str) -> tuple[str, str | None]:
        server = self.server(instance)
        return server["OS-EXT-STS:vm_state"], server["OS-EXT-STS:task_state"]

    def wait_for_state(self, instance: str, vm_state: str) -> None:
        self.wait(
            vm_state, lambda: self.state(instance) == (vm_state, None), 120
        )

    def test_start_and_stop(self) -> None:
        web = self.boot("web")
        said = f"Cannot 'start' instance {web} while it is in vm_state active"
        self.refused(409, said, self.act(web, "os-start"))
        self.assertEqual((202, None), self.act(web, "os-stop"))
        self.wait_for_state(web, "stopped")
        self.assertEqual([], self.running(web))
        said = f"Cannot 'stop' instance {web} while it is in vm_state stopped"
        self.refused(409, said, self.act(web, "os-stop"))
        self.assertEqual((202, None), self.act(web, "os-start"))
        self.wait_for_state(web, "active")
        self.assertEqual([base.SOURCE], self.running(web))

    def test_a_start_waits_for_a_host_that_is_down(self) -> None:
        web = self.boot("web", stopped=True)
        self.fail_host()
        self.assertEqual((202, None), self.act(web, "os-start"))
        self.pause(2)
        self.assertEqual(("stopped", "powering-on"), self.state(web))
        self.assertEqual("SHUTOFF", self.server(web)["status"])
        self.refused(
            409,
            f"Cannot 'start' instance {web} while it is in task_state "
            "powering-on",
            self.act(web, "os-start"),
        )
        self.power_on(base.SOURCE)
        self.wait_for_state(web, "active")
        self.assertEqual([base.SOURCE], self.running(web))

    def test_a_start_that_waits_does_not_stop_an_evacuation(self) -> None:
        web = self.boot("web", stopped=True)
        self.fail_host()
        self.act(web, "os-start")
        self.accepted(web)
        self.assertEqual("SHUTOFF", self.evacuated(web)["status"])

    def test_an_instance_without_a_host_is_not_ready(self) -> None:
        web = self.boot("web")
        self.offload(web)
        said = f"Instance {web} is not ready"
        self.refused(409, said, self.act(web, "os-start"))

    def test_a_reset_clears_the_task_and_says_what_you_like(self) -> None:
        web = self.boot("web", stopped=True)
        self.fail_host()
        self.act(web, "os-start")
        for state in ("error", "active"):
            answer = self.act(web, "os-resetState", {"state": state})
            self.assertEqual((202, None), answer)
            self.assertEqual((state, None), self.state(web))
        answer = self.act(web, "os-resetState", {"state": "stopped"})
        self.assertEqual(400, answer[0])

    def test_a_resize_is_confirmed_by_its_source(self) -> None:
        web = self.boot("web", host="c2")
        self.resize(web, "c1")
        self.assertEqual(("resized", None), self.state(web))
        self.assertEqual("VERIFY_RESIZE", self.server(web)["status"])
        said = f"Cannot 'evacuate' instance {web} while it is in vm_state"
        self.refused(409, f"{said} resized", self.evacuate(web))
        # The instance's own host may be gone.
        self.fail_host("c1")
        self.assertEqual((204, None), self.act(web, "confirmResize"))
        self.wait_for_state(web, "active")
        self.assertEqual("c1", self.server(web)["OS-EXT-SRV-ATTR:host"])
        path = f"/os-migrations?instance_uuid={web}"
        (record,) = self.get(path)["migrations"]
        self.assertEqual("confirmed", record["status"])
        self.assertEqual("c2", record["source_compute"])
        self.refused(
            409,
            f"Cannot 'confirmResize' instance {web} while it is in vm_state "
            "active",
            self.act(web, "confirmResize"),
        )
        self.accepted(web)
        self.assertEqual("ACTIVE", self.evacuated(web)["status"])

    def test_a_resize_from_a_host_that_is_down_stays(self) -> None:
        web = self.boot("web", host="c1")
        self.resize(web, "c2")
        self.fail_host()
        said = "Service is unavailable at this time."
        self.refused(409, said, self.act(web, "confirmResize"))
        self.assertEqual(("resized", None), self.state(web))
        (record,) = self.get(f"/os-migrations?instance_uuid={web}")[
            "migrations"
        ]
        self.assertEqual("finished", record["status"])

    def test_a_tpm_is_refused_whatever_the_host_does(self) -> None:
        self.offer_tpm(base.SOURCE)
        flavor = self.make_flavor("secret", 1, 64, 1, **SPEC)
        image = self.make_image("secret", hw_tpm_version="2.0")
        booted = (
            self.boot("flavor", flavor=flavor),
            self.boot("image", image=image),
        )
        for fail in (False, True):
            if fail:
                self.fail_host()
            for instance in booted:
                said = (
                    "Operation 'evacuate' not supported for vTPM-enabled "
                    f"instance ({instance})."
                )
                self.refused(400, said, self.evacuate(instance))
                self.assertEqual(("active", None), self.state(instance))
