"""Whether jobs in subnets of the team's own find room there, and a way to S3."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from botocore.exceptions import ClientError

from stacks.doctor.findings import FAIL, OK, WARN, Finding, is_missing

ENDPOINT = "add a gateway endpoint for S3 to its route table (free), or a NAT gateway"


def check_network(ec2: Any, needs: Mapping[str, int], region: str) -> Iterator[Finding]:
    """Looks at the network. `needs`: subnet -> the most instances that a job has in it."""
    names = sorted(needs)
    try:
        subnets = ec2.describe_subnets(SubnetIds=names)["Subnets"]
    except ClientError as error:
        is_missing(error, "InvalidSubnetID.NotFound")
        said = error.response["Error"]["Message"]
        yield Finding("network", FAIL, said, f"correct `network`: subnets of {region}")
        return
    zones = sorted({each["AvailabilityZone"] for each in subnets})
    few = "" if len(zones) > 1 else ": spot capacity is often gone in one zone and there in another"
    yield Finding("zones", WARN if few else OK, f"{', '.join(zones)}{few}", "add subnets" if few else "")
    endpoints = _endpoints(ec2, {each["VpcId"] for each in subnets}, region)
    for subnet in sorted(subnets, key=lambda each: str(each["SubnetId"])):
        yield _subnet(subnet, needs[subnet["SubnetId"]], _routes(ec2, subnet), endpoints)


def _subnet(
    subnet: Mapping[str, Any], instances: int, routes: Sequence[Mapping[str, Any]], endpoints: set[str]
) -> Finding:
    name = f"subnet {subnet['SubnetId']}"
    free = subnet["AvailableIpAddressCount"]
    if free < instances:
        to_do = "free addresses, or take a larger subnet"
        return Finding(name, FAIL, f"{free} free addresses for {instances} instances", to_do)
    way = way_to_s3(routes) or ("an interface endpoint for S3" if subnet["VpcId"] in endpoints else "")
    if not way:
        return Finding(name, FAIL, "no way to S3: neither code nor checkpoints arrive", ENDPOINT)
    return Finding(name, OK, f"{subnet['AvailabilityZone']}, {free} free addresses, S3 through {way}")


def way_to_s3(routes: Iterable[Mapping[str, Any]]) -> str:
    """How a job reaches S3 by these routes; empty where it does not. An internet gateway is none: a job's
    interface has no public address."""
    for route in routes:
        if route.get("State") == "blackhole":
            continue
        if route.get("GatewayId", "").startswith("vpce-"):
            return "a gateway endpoint"
        if route.get("DestinationCidrBlock") == "0.0.0.0/0" and (
            route.get("NatGatewayId") or route.get("TransitGatewayId") or route.get("NetworkInterfaceId")
        ):
            return "a NAT or transit gateway"
    return ""


def _routes(ec2: Any, subnet: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    """The routes of the subnet's own table, else of its network's main one."""
    own = [{"Name": "association.subnet-id", "Values": [subnet["SubnetId"]]}]
    main = [
        {"Name": "association.main", "Values": ["true"]},
        {"Name": "vpc-id", "Values": [subnet["VpcId"]]},
    ]
    for filters in (own, main):
        tables = ec2.describe_route_tables(Filters=filters)["RouteTables"]
        if tables:
            return [route for table in tables for route in table["Routes"]]
    return []


def _endpoints(ec2: Any, networks: set[str], region: str) -> set[str]:
    """The networks with an interface endpoint for S3."""
    filters = [
        {"Name": "vpc-id", "Values": sorted(networks)},
        {"Name": "service-name", "Values": [f"com.amazonaws.{region}.s3"]},
    ]
    told = ec2.describe_vpc_endpoints(Filters=filters)["VpcEndpoints"]
    return {each["VpcId"] for each in told if each.get("VpcEndpointType") == "Interface"}
