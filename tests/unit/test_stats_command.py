"""What `relay stats` refuses, and how it says so."""

from typer.testing import CliRunner

from workflows.commands import cli
from workflows.errors import RelayError


def failure(*arguments):
    result = CliRunner().invoke(cli.app, ["stats", *map(str, arguments)])
    assert isinstance(result.exception, RelayError), result.output
    return str(result.exception)


def test_a_folder_without_a_world_is_told(tmp_path):
    told = failure("--root", tmp_path / "none")

    assert "no local world in" in told
    assert "start a run first" in told
