"""An endpoint over loopback, with everything that goes wrong with one."""

import socket

import pytest

from datasetdm import config
from datasetdm.errors import DatasetDMError
from datasetdm.prompts.language_model.chat import Question
from datasetdm.prompts.language_model.endpoint import Endpoint
from tests.prompts.language_model.scripted import Reply, Server, refused, said

QUESTION = Question(
    messages=({"role": "user", "content": "Describe an okapi."},), completion="", lines=2, words=(), seed=7
)
KEY = "sk-secret-0123456789"
SOON = {"retry_after_ms": "5"}


def endpoint(server: Server, **changes: object) -> Endpoint:
    block = {"backend": "openai", "base_url": server.base_url, "model": "tiny", "max_retries": 2, **changes}
    return Endpoint(config.LanguageModel.model_validate(block))


def failure(model: Endpoint) -> str:
    with pytest.raises(DatasetDMError) as error:
        model.answer(QUESTION)
    assert KEY not in str(error.value)
    return str(error.value)


@pytest.fixture(autouse=True)
def no_key(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)


def test_a_local_server_needs_no_key_and_gets_the_question(server: Server) -> None:
    server.replies = [said("An okapi drinks.")]
    answer = endpoint(server, temperature=None, max_tokens=99).answer(QUESTION)
    assert (answer.text, answer.model, answer.prompt_tokens, answer.completion_tokens) == (
        "An okapi drinks.",
        "scripted-1",
        100,
        50,
    )
    (request,) = server.requests
    assert request["messages"] == list(QUESTION.messages) and request["seed"] == 7 and request["model"] == "tiny"
    assert request["max_tokens"] == 99 and request["top_p"] == 0.95 and "temperature" not in request


def test_the_key_comes_from_the_environment_and_goes_nowhere_else(
    server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MY_KEY", KEY)
    model = endpoint(server, api_key_variable="MY_KEY")
    server.replies = [said("An okapi.")]
    model.answer(QUESTION)
    assert server.keys == [f"Bearer {KEY}"]
    assert KEY not in str(model.identity) and KEY not in str(server.requests)
    server.replies = [refused(401, f"Incorrect API key provided: {KEY}")]
    assert "refused the key in the variable MY_KEY. Correct it in .env" in failure(model)
    server.replies = [refused(400, f"Who are you, {KEY}? unknown field seed")]
    assert "it says: Who are you, ***? unknown field seed" in failure(model)
    server.replies = [refused(400, "x" * 190 + f" {KEY}")]  # messages are cut after 200 characters
    assert KEY[:4] not in failure(model)


@pytest.mark.parametrize("key", ["sk-sec\nret", "sk-sec ret", "sk-secrét"])
def test_a_key_that_cannot_be_sent_is_not_shown(server: Server, monkeypatch: pytest.MonkeyPatch, key: str) -> None:
    monkeypatch.setenv("MY_KEY", key)
    message = failure(endpoint(server, api_key_variable="MY_KEY"))
    assert "MY_KEY cannot be sent" in message and "sk-sec" not in message


def test_elsewhere_a_key_is_needed() -> None:
    block = {"backend": "openai", "model": "gpt", "api_key_variable": "NOT_SET_ANYWHERE"}
    message = failure(Endpoint(config.LanguageModel.model_validate(block)))
    assert "needs a key" in message and "NOT_SET_ANYWHERE" in message and ".env" in message


def test_a_rate_limit_and_a_cut_connection_are_waited_for(server: Server) -> None:
    server.replies = [refused(429, "slow down", **SOON), Reply("{", cut=True, headers=SOON), said("An okapi.")]
    assert endpoint(server).answer(QUESTION).text == "An okapi."
    assert len(server.requests) == 3


def test_a_rate_limit_that_lasts(server: Server) -> None:
    server.replies = [refused(429, "quota is used up", **SOON)]
    message = failure(endpoint(server))
    assert "still used up after 2 retries (it says: quota is used up)" in message and "again to continue" in message
    assert len(server.requests) == 3


def test_an_unknown_model_is_not_asked_for_twice(server: Server) -> None:
    server.replies = [refused(404, "model 'tiny' not found")]
    message = failure(endpoint(server))
    assert "model 'tiny' not found" in message and "prompts.language_model.model" in message
    assert len(server.requests) == 1


def test_a_cut_connection(server: Server) -> None:
    server.replies = [Reply('{"choices": [', cut=True)]
    assert "connection was cut, 1 times" in failure(endpoint(server, max_retries=0))


def test_nobody_listens() -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        address = f"http://127.0.0.1:{free.getsockname()[1]}/v1"
    message = failure(endpoint(Server(address), max_retries=0))
    assert "cannot be reached" in message and address in message and "refused" in message.lower()


def test_a_slow_answer(server: Server) -> None:
    server.replies = [Reply({}, seconds=1.0)]
    assert "no answer within 0.1 s, 1 times" in failure(endpoint(server, timeout=0.1, max_retries=0))


@pytest.mark.parametrize(
    "reply",
    [
        Reply({"hello": 1}),
        Reply("<html>It works!</html>", headers={"Content-Type": "text/html"}),
        Reply('{"choices": [{"message"'),
        said("", choices=[]),
        said("", choices=[None]),
        said("", choices="An okapi."),
        said("", choices=[{"index": 0, "message": "An okapi.", "finish_reason": "stop"}]),
        said([{"type": "text", "text": "An okapi."}]),  # type: ignore[arg-type]
    ],
)
def test_an_answer_that_is_none(server: Server, reply: Reply) -> None:
    server.replies = [reply]
    message = failure(endpoint(server))
    assert "not with a chat completion" in message and "base_url" in message


def test_an_overloaded_server_that_speaks_no_json(server: Server) -> None:
    server.replies = [Reply("upstream is gone", status=503, headers=SOON)]
    assert "upstream is gone" in failure(endpoint(server, max_retries=1))
    assert len(server.requests) == 2


def test_a_text_that_was_cut_off_is_marked(server: Server) -> None:
    server.replies = [said("An okapi drinks\nAn okapi st", "length"), said(None)]  # type: ignore[arg-type]
    model = endpoint(server)
    assert model.answer(QUESTION).text == "An okapi drinks\nAn okapi st …"
    assert model.answer(QUESTION).text == ""


def test_half_a_surrogate_pair_can_be_kept(server: Server) -> None:
    server.replies = [said("An okapi \ud83d.")]
    assert endpoint(server).answer(QUESTION).text == "An okapi ?."
