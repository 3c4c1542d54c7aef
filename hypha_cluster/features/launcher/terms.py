"""Settings of server apps."""

from dataclasses import dataclass

from hypha_cluster.settings import HOUR, YEAR, setting


@dataclass(frozen=True, slots=True)
class LauncherSettings:
    """What an operator chooses, for gateways and for runners."""

    enable_server_apps: bool = setting(
        False,
        "Let users install apps and run them in a browser on the server; one runner is started "
        "beside the gateway.",
    )
    app_runners: str = setting(
        "beside",
        "Where apps run: in a runner that is started beside the gateway, or in those that "
        "`hypha-cluster runner` starts elsewhere.",
        choices=("beside", "elsewhere"),
    )
    app_slots: int = setting(8, "How many apps one runner runs at once.", within=(1, 1000))
    app_browser: str = setting(
        "", "Program of the browser that apps run in; empty = Chromium or Chrome, as found."
    )
    app_memory: int = setting(
        512, "Memory for the objects of one page of an app.", "MiB", within=(32, 65_536)
    )
    app_page_memory: int = setting(
        1024,
        "Memory of the processes of one page of an app; one that uses more is stopped, and has "
        "failed. Only Linux tells what they use.",
        "MiB",
        within=(64, 1_048_576),
    )
    app_cpu_time: float = setting(
        1800.0,
        "CPU time that a page of an app may use without a pause, before it is stopped, and has "
        "failed; 0 = as much as it likes.",
        "seconds",
        within=(0.0, YEAR),
    )
    app_run_time: float = setting(
        0.0,
        "How long an instance of an app may be there, before it is stopped, and has failed; "
        "0 = as long as it likes.",
        "seconds",
        within=(0.0, YEAR),
    )
    app_drain_time: float = setting(
        30.0,
        "How long a runner that stops leaves its pages open, until other runners have taken over "
        "and what the pages were asked is answered.",
        "seconds",
        within=(0.0, HOUR),
    )
    app_network: str = setting(
        "internet",
        "What pages of apps reach besides the hub: what is public on the internet, or nothing.",
        choices=("internet", "hub"),
    )
    app_packages: str = setting(
        "",
        "Names of packages that apps in Python may require besides those that the hub has, with "
        "commas between; * allows all.",
        many=True,
    )
    app_package_index: str = setting(
        "",
        "The index for them: a URL, with {package_name} in it or without; one that begins with a "
        "slash is the hub's. Empty = https://pypi.org/simple.",
    )
    app_hub_url: str = setting(
        "",
        "Address under which the pages of apps reach the hub; empty = that of its users.",
    )
    in_docker: bool = setting(
        False, "Run the browser of apps without its sandbox, as root and most containers need."
    )
