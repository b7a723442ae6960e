"""What replicas share: whether the Valkey that the configuration names answers, with the password that it has."""

from tollway.cli.doctor.finding import Area, Finding
from tollway.cluster.extra import unreachable
from tollway.config.problems import ConfigError
from tollway.config.schema import Cluster


async def shared_counts(cluster: Cluster) -> list[Finding]:
    """Nothing, where nothing is shared."""
    area = Area("cluster")
    if cluster.url is None:
        return area.findings
    passes = "pass uncounted" if cluster.limits_when_lost == "open" else "are refused with a 503"
    try:
        why = await unreachable(cluster)
    except ConfigError as error:
        area.problem("cluster.url", str(error), "pip install 'tollway[cluster]'")
        return area.findings
    if why is None:
        area.ok("cluster.url", f"{cluster.url} answers")
    else:
        area.problem(
            "cluster.url",
            f"{why}; calls with a limit {passes} meanwhile",
            "check that Valkey runs, cluster.url, and its password in cluster.password_env or password_file",
        )
    return area.findings
