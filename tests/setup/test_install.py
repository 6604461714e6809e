"""What decides whether the environment is built again."""

import shutil
import sys
from pathlib import Path

import detection
import install
import pytest
from dotenv import dotenv_values
from install import Choice


@pytest.fixture(autouse=True)
def stamp(tmp_path, monkeypatch):
    monkeypatch.setattr(install, "STAMP", tmp_path / "stamp.json")
    monkeypatch.delenv("CUDA", raising=False)
    monkeypatch.delenv("DETECTION", raising=False)


@pytest.mark.parametrize(("name", "default"), [("CUDA", False), ("DETECTION", True)])
def test_choices_are_remembered(monkeypatch, name, default):
    assert install.wanted(name, default) is default
    install.write_stamp("fingerprint", Choice(cuda=not default, detection=not default))
    assert install.wanted(name, default) is not default
    monkeypatch.setenv(name, str(int(default)))
    assert install.wanted(name, default) is default


def test_a_stamp_from_before_there_was_a_choice_had_everything():
    install.STAMP.write_text('{"fingerprint": "f", "cuda": true}')
    assert install.wanted("CUDA", False) is True
    assert install.wanted("DETECTION", True) is True


def test_unknown_choice_is_refused(monkeypatch):
    monkeypatch.setenv("DETECTION", "yes")
    with pytest.raises(SystemExit, match="DETECTION=yes"):
        install.wanted("DETECTION", True)


def test_broken_stamp_counts_as_none():
    install.STAMP.write_text("{")
    assert install.read_stamp() == {}


def test_fingerprint_follows_locks_choices_and_place(tmp_path, monkeypatch):
    choices = [Choice(cuda=cuda, detection=detection) for cuda in (False, True) for detection in (False, True)]
    before = [install.environment_fingerprint(choice) for choice in choices]
    assert before == [install.environment_fingerprint(choice) for choice in choices]
    assert len(set(before)) == 4
    monkeypatch.setattr(install, "VENV", tmp_path)
    assert before[0] != install.environment_fingerprint(choices[0])
    monkeypatch.undo()
    lock = tmp_path / "requirements.lock"
    lock.write_text(install.LOCK.read_text() + "another==1.0\n")
    monkeypatch.setattr(detection, "LOCK", lock)
    assert before[0] == install.environment_fingerprint(choices[0])  # does not concern it
    assert before[1] != install.environment_fingerprint(choices[1])
    monkeypatch.setattr(install, "LOCK", lock)
    assert before[0] != install.environment_fingerprint(choices[0])


def test_env_file_is_written_once_and_then_left_alone(tmp_path, monkeypatch):
    monkeypatch.setattr(install, "ROOT", tmp_path)
    (tmp_path / ".env.example").write_text("A=1\n")
    install.write_env_file()
    assert (tmp_path / ".env").read_text() == "A=1\n"
    (tmp_path / ".env").write_text("A=secret\n")
    install.write_env_file()
    assert (tmp_path / ".env").read_text() == "A=secret\n"


def test_failed_command_stops_setup_with_its_output(capsys):
    with pytest.raises(SystemExit, match="this command failed"):
        install.run("sh", "-c", "echo the reason; exit 3")
    assert "the reason" in capsys.readouterr().err


@pytest.fixture
def root(tmp_path, monkeypatch):
    """A project in a folder with an awkward name."""
    folder = tmp_path / "what now? it's #1"
    (folder / ".dvc").mkdir(parents=True)
    shutil.copy(install.ROOT / ".env.example", folder)
    monkeypatch.setattr(install, "ROOT", folder)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return folder


def test_dagsters_home_is_absolute_and_can_stand_in_the_path_of_a_database(root):
    install.write_env_file()
    home = Path(dotenv_values(root / ".env")["DAGSTER_HOME"])
    assert home.is_absolute() and "?" not in str(home)
    assert home.samefile(root / ".dagster_home")


@pytest.mark.parametrize(
    "line", ["DAGSTER_HOME=${PWD}/.dagster_home", "DAGSTER_HOME=", "DAGSTER_HOME='/elsewhere/.dagster_home'"]
)
def test_dagsters_home_follows_the_project(root, line):
    (root / ".env").write_text(f"A=secret\n{line}\nB=2\n")
    install.write_env_file()
    values = dotenv_values(root / ".env")
    assert Path(values["DAGSTER_HOME"]).samefile(root / ".dagster_home")
    assert (values["A"], values["B"]) == ("secret", "2")


def test_a_home_of_another_name_is_kept(root):
    (root / ".env").write_text("DAGSTER_HOME=/srv/history\n")
    install.write_env_file()
    assert (root / ".env").read_text() == "DAGSTER_HOME=/srv/history\n"


def test_dvc_is_told_whether_there_is_git(root, monkeypatch):
    monkeypatch.setattr(install, "VENV", Path(sys.executable).parents[1])
    monkeypatch.chdir(root)
    local = root / ".dvc" / "config.local"
    (root / ".dvc" / "config").touch()
    install.initialise_dvc()
    assert "no_scm = true" in local.read_text()
    (root / ".git").mkdir()
    install.initialise_dvc()
    assert "no_scm" not in local.read_text()


def test_the_environment_of_another_checkout_is_left_alone(tmp_path, monkeypatch):
    theirs = tmp_path / "theirs"
    theirs.mkdir()
    monkeypatch.setattr(install, "VENV", tmp_path / ".venv")
    install.refuse_linked_environment()  # none yet
    install.VENV.symlink_to(theirs)
    with pytest.raises(SystemExit, match=f"is a link to {theirs}"):
        install.refuse_linked_environment()
    install.VENV.unlink()
    install.VENV.mkdir()
    install.refuse_linked_environment()
