# SPDX-License-Identifier: Apache-2.0

"""What OpenStackClient wants to know about a plugin."""

import argparse
from typing import Any

from keystoneauth1 import adapter

from mistral_hostrecovery import trigger
from mistral_hostrecovery.osc import service

API_NAME = "host_recovery"
API_VERSION_OPTION = "os_host_recovery_api_version"
API_VERSIONS = ("1",)
DEFAULT_API_VERSION = "1"

#: Where the credentials are, for what operators read.
_CREDENTIALS = "the credentials of this command (OS_CLOUD or OS_*)"

#: Seconds that one request may take.
_REQUEST_SECONDS = 60.0


def make_client(instance: Any) -> service.Recoveries:
    """Return what the commands ask, as the user of this command line.

    :param instance: the client manager.
    """
    if instance.session.timeout is None:
        instance.session.timeout = _REQUEST_SECONDS
    cloud = instance._cli_options
    workflow = adapter.Adapter(
        instance.session,
        service_type="workflow",
        interface=instance.interface,
        region_name=instance.region_name,
        endpoint_override=cloud.get_endpoint("workflow"),
    )
    compute = adapter.Adapter(
        instance.session,
        service_type="compute",
        interface=instance.interface,
        region_name=instance.region_name,
        endpoint_override=cloud.get_endpoint("compute"),
    )
    return service.Recoveries(
        trigger.Mistral(workflow, _CREDENTIALS, "your user"), compute
    )


def build_option_parser(
    parser: argparse.ArgumentParser,
) -> argparse.ArgumentParser:
    """Add the global option that each plugin has."""
    parser.add_argument(
        "--os-host-recovery-api-version",
        metavar="<host-recovery-api-version>",
        default=DEFAULT_API_VERSION,
        choices=API_VERSIONS,
        help="version of the commands of host recovery (default: %(default)s)",
    )
    return parser
