"""A message to a webhook when a step fails: `DATASETDM_WEBHOOK` in `.env`, an http or https address. Off without it."""

import os

import requests
from dagster import HookContext, failure_hook

WEBHOOK = "DATASETDM_WEBHOOK"
PATIENCE = 10.0  # seconds that the receiver has


@failure_hook(name="tell_webhook")
def tell_webhook(context: HookContext) -> None:
    """Post a JSON object with the key `text`, which Slack, Mattermost, Teams and others show, and its parts."""
    address = os.environ.get(WEBHOOK)
    if not address:
        return
    reason = _reason(context)
    message = {
        "text": f"{context.job_name}: {context.op.name} failed. {reason}",
        "job": context.job_name,
        "step": context.step_key,
        "run_id": context.run_id,
        "reason": reason,
    }
    try:
        requests.post(address, json=message, timeout=PATIENCE).raise_for_status()
    except requests.RequestException as error:  # the run has failed already; this must not hide why
        context.log.warning(f"{WEBHOOK} did not take the message: {type(error).__name__}")


def _reason(context: HookContext) -> str:
    error = context.op_exception
    return str(getattr(error, "description", None) or error or "")
