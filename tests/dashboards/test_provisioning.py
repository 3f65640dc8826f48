"""The files that bring the dashboards into Grafana, and the services side by side. No engine runs here to try them."""

import re
from pathlib import Path
from typing import Any

import click
import yaml

from monitor.cli import main
from tests.dashboards.boards import BOARDS, FOLDER, ROOT, variables

PROVISIONED = FOLDER / "provisioning"


def read(path: Path) -> Any:
    return yaml.safe_load(path.read_text())


DATASOURCES = read(PROVISIONED / "datasources" / "access-monitor.yaml")
PROVIDERS = read(PROVISIONED / "dashboards" / "access-monitor.yaml")
COMPOSE = read(ROOT / "docker-compose.yml")


def test_every_kind_of_data_source_that_the_dashboards_choose_from_is_there_once() -> None:
    kinds = {one["query"] for board in BOARDS.values() for one in variables(board) if one["type"] == "datasource"}
    assert sorted(one["type"] for one in DATASOURCES["datasources"]) == sorted(kinds)
    for key in ("uid", "name"):
        assert len({one[key] for one in DATASOURCES["datasources"]}) == len(kinds)


def test_the_scrape_interval_is_the_same_in_grafana_and_prometheus() -> None:
    (prometheus,) = (one for one in DATASOURCES["datasources"] if one["type"] == "prometheus")
    config = read(FOLDER / "prometheus" / "prometheus.yml")
    assert prometheus["jsonData"]["timeInterval"] == config["global"]["scrape_interval"]


def test_the_rules_know_the_job_by_its_name() -> None:
    config = read(FOLDER / "prometheus" / "prometheus.yml")
    assert config["rule_files"] == sorted(config["rule_files"], reverse=True)
    assert {path.name for path in (FOLDER / "prometheus").glob("*.rules.yaml")} == set(config["rule_files"])
    jobs = re.findall(r'job="([^"]+)"', (FOLDER / "prometheus" / "alerts.rules.yaml").read_text())
    assert set(jobs) == {one["job_name"] for one in config["scrape_configs"]}


def test_the_database_lies_where_grafana_may_look() -> None:
    (sqlite,) = (one for one in DATASOURCES["datasources"] if one["type"] == "frser-sqlite-datasource")
    path = sqlite["jsonData"]["path"]
    assert path.startswith("/srv/")
    # The plug-in refuses paths that hold one of these, wherever.
    assert not any(
        term in path for term in ("grafana.db", ".env", "credentials", ".ssh", "/proc/", "/etc/passwd", "id_rsa")
    )


def test_the_provider_lets_nobody_lose_work() -> None:
    (provider,) = PROVIDERS["providers"]
    assert (PROVIDERS["apiVersion"], DATASOURCES["apiVersion"], provider["type"]) == (1, 1, "file")
    assert (provider["disableDeletion"], provider["allowUiUpdates"]) == (True, False)
    # A folder of its own and folders from files exclude each other.
    assert provider["folder"]
    assert "foldersFromFilesStructure" not in provider["options"]


def test_the_services_mount_what_there_is_where_it_is_looked_for() -> None:
    mounted = {}
    for service in COMPOSE["services"].values():
        for volume in service["volumes"]:
            source, target = volume.split(":")[:2]
            mounted[target] = source
            if source.startswith("./"):
                assert (ROOT / source).exists(), source
            else:
                assert source in COMPOSE["volumes"], source
    (provider,) = PROVIDERS["providers"]
    assert mounted[provider["options"]["path"]] == "./dashboards"
    (sqlite,) = (one for one in DATASOURCES["datasources"] if one["type"] == "frser-sqlite-datasource")
    assert mounted[str(Path(sqlite["jsonData"]["path"]).parent)] == mounted["/events"] == "events"


def test_the_services_run_commands_that_there_are() -> None:
    monitor, copy = COMPOSE["services"]["monitor"], COMPOSE["services"]["copy"]
    name, *rest = monitor["command"].split()
    assert name in main.list_commands(click.Context(main))
    assert rest[:2] == ["-c", "/etc/access-monitor/probes.yaml"]
    module = re.search(r"python3 -m ([\w.]+) (\S+) (\S+);", copy["command"])
    assert module is not None
    assert (ROOT / Path(*module[1].split("."))).with_suffix(".py").is_file()
    assert re.findall(r"^COPY (.+) \S+$", monitor["build"]["dockerfile_inline"], re.MULTILINE)
    for line in re.findall(r"^COPY (.+) \S+$", monitor["build"]["dockerfile_inline"], re.MULTILINE):
        assert all((ROOT / name).exists() for name in line.split()), line


def test_nothing_listens_for_other_machines_and_no_password_is_known() -> None:
    services = COMPOSE["services"]
    assert not any("ports" in service for service in services.values())
    assert services["grafana"]["environment"]["GF_SERVER_HTTP_ADDR"] == "127.0.0.1"
    assert services["grafana"]["environment"]["GF_SECURITY_ADMIN_PASSWORD"].startswith("${GRAFANA_PASSWORD:?")
    assert "--web.listen-address=127.0.0.1:9090" in services["prometheus"]["command"]
    assert all(re.search(r":v?\d", service["image"]) for service in services.values() if "image" in service)
