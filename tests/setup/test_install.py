"""What decides whether the environment is built again."""

import install
import pytest


@pytest.fixture(autouse=True)
def stamp(tmp_path, monkeypatch):
    monkeypatch.setattr(install, "STAMP", tmp_path / "stamp.json")
    monkeypatch.delenv("CUDA", raising=False)


def test_choice_of_cuda_is_remembered(monkeypatch):
    assert install.wanted_cuda() is False
    install.write_stamp("fingerprint", cuda=True)
    assert install.wanted_cuda() is True
    monkeypatch.setenv("CUDA", "0")
    assert install.wanted_cuda() is False


def test_unknown_choice_of_cuda_is_refused(monkeypatch):
    monkeypatch.setenv("CUDA", "yes")
    with pytest.raises(SystemExit, match="CUDA=yes"):
        install.wanted_cuda()


def test_broken_stamp_counts_as_none():
    install.STAMP.write_text("{")
    assert install.read_stamp() == {}


def test_fingerprint_follows_lock_flavour_and_place(tmp_path, monkeypatch):
    before = install.environment_fingerprint(cuda=False)
    assert before == install.environment_fingerprint(cuda=False)
    assert before != install.environment_fingerprint(cuda=True)
    monkeypatch.setattr(install, "VENV", tmp_path)
    assert before != install.environment_fingerprint(cuda=False)
    monkeypatch.undo()
    lock = tmp_path / "requirements.lock"
    lock.write_text(install.LOCK.read_text() + "another==1.0\n")
    monkeypatch.setattr(install, "LOCK", lock)
    assert before != install.environment_fingerprint(cuda=False)


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
        install.run("sh", "-c", "echo the reason; exit 3", quiet=True)
    assert "the reason" in capsys.readouterr().err
