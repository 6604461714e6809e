"""The instruction: an editable text file with sections, and the questions that are made of it."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np

from datasetdm.errors import DatasetDMError
from datasetdm.prompts.english import plural
from datasetdm.utils.digests import digest

DEFAULT = Path(__file__).with_name("instruction.txt")
_WORDS = {"number", "category", "plural", "synonyms", "captions", "examples", "max_words", "vocabulary"}
_ONCE = ("question", "completion")  # sections that have to be there
_SECTIONS = {*_ONCE, "system", "synonyms", "vocabulary", "follow-up", "examples"}
_SHOWN = 5  # examples in one question


@dataclass(frozen=True, kw_only=True)
class Instruction:
    """What a language model is asked, with gaps for the category.

    Attributes:
        sections: name -> its texts; only `follow-up` has several.
        examples: pairs of a noun and a caption that names it.
        max_words: most words of a description.
        vocabulary: the only words that may be used; empty: any.
    """

    sections: Mapping[str, tuple[str, ...]]
    examples: tuple[tuple[str, str], ...]
    max_words: int
    vocabulary: tuple[str, ...] = ()

    @cached_property
    def digest(self) -> str:
        """A short name of its content, for the table of prompts."""
        return digest(dict(self.sections), self.examples, self.max_words, self.vocabulary)[:8]

    @property
    def turns(self) -> int:
        """Number of questions in a conversation."""
        return 1 + len(self.sections.get("follow-up", ()))

    def messages(
        self, noun: str, synonyms: Sequence[str], number: int, said: Sequence[str], seed: int
    ) -> tuple[dict[str, str], ...]:
        """The conversation so far and the next question.

        Args:
            noun: what the descriptions show.
            synonyms: other words for it.
            number: descriptions that are wanted.
            said: the answers to the questions of this conversation so far, fewer than `turns`.
            seed: chooses the examples.
        """
        gaps = self._gaps(noun, synonyms, number, seed)
        question = [*self.sections["question"]]
        if synonyms:
            question += self.sections.get("synonyms", ())
        if self.vocabulary:
            question += self.sections.get("vocabulary", ())
        asked = ["\n\n".join(question), *self.sections.get("follow-up", ())][: len(said) + 1]
        system = [("system", text) for text in self.sections.get("system", ())]
        dialogue = [("user", asked[0])]
        for answer, further in zip(said, asked[1:], strict=True):
            dialogue += [("assistant", answer), ("user", further)]
        return tuple(
            {"role": role, "content": text if role == "assistant" else _filled(text, gaps)}
            for role, text in system + dialogue
        )

    def completion(self, noun: str, seed: int) -> str:
        """The text that a description of the noun continues."""
        return _filled(self.sections["completion"][0], self._gaps(noun, (), 1, seed))

    def _gaps(self, noun: str, synonyms: Sequence[str], number: int, seed: int) -> dict[str, str]:
        chosen = self._choose(seed)
        return {
            "number": str(number),
            "category": noun,
            "plural": plural(noun),
            "synonyms": ", ".join(synonyms),
            "captions": "\n".join(caption for _, caption in chosen),
            "examples": "\n".join(f"{shown}: {caption}" for shown, caption in chosen),
            "max_words": str(self.max_words),
            "vocabulary": ", ".join(self.vocabulary),
        }

    def _choose(self, seed: int) -> list[tuple[str, str]]:
        """Some examples, in an order of their own for every seed."""
        order = np.random.default_rng(seed).permutation(len(self.examples))
        return [self.examples[place] for place in order[:_SHOWN]]


def load_instruction(
    file: Path | None, *, captions: Sequence[tuple[str, str]], max_words: int, vocabulary: Sequence[str] = ()
) -> Instruction:
    """Read an instruction file.

    Args:
        file: None for the one of the project.
        captions: pairs of a noun and a caption of a labelled image that names it. None: the file's own examples.
        max_words: most words of a description.
        vocabulary: the only words that the text encoder knows; empty if it can spell any word.

    Raises:
        DatasetDMError: the file is missing, is not UTF-8, or has unknown or missing sections or gaps; all at once.
    """
    file = file or DEFAULT
    sections = _sections(file)
    problems = [*_problems(sections)]
    examples = tuple(captions) or tuple(_examples(sections.get("examples", ()), problems))
    if problems:
        raise DatasetDMError(
            f"{file} (prompts.language_model.instruction): {'; '.join(problems)}. Compare it with {DEFAULT}."
        )
    return Instruction(sections=sections, examples=examples, max_words=max_words, vocabulary=tuple(vocabulary))


def _sections(file: Path) -> dict[str, tuple[str, ...]]:
    try:
        text = file.read_text(encoding="utf-8-sig")
    except OSError as error:
        raise DatasetDMError(
            f"The instruction file {file} cannot be read ({error.strerror}). Correct "
            "prompts.language_model.instruction, or remove it for the project's own."
        ) from None
    except UnicodeDecodeError:
        raise DatasetDMError(f"The instruction file {file} is not UTF-8 text: save it as UTF-8.") from None
    lines = [line for line in text.splitlines() if not line.startswith("#")]
    _, *parts = re.split(r"^\[([\w-]+)\]\s*$", "\n".join(lines), flags=re.MULTILINE)
    sections: dict[str, tuple[str, ...]] = {}
    for name, content in zip(parts[::2], parts[1::2], strict=True):
        sections[name] = (*sections.get(name, ()), content.strip())
    return sections


def _problems(sections: Mapping[str, tuple[str, ...]]) -> list[str]:
    problems = [f"the section [{name}] is missing" for name in _ONCE if name not in sections]
    for name, texts in sections.items():
        if name not in _SECTIONS:
            problems.append(f"[{name}] is not a section; known are {', '.join(sorted(_SECTIONS))}")
        if len(texts) > 1 and name != "follow-up":
            problems.append(f"[{name}] is there {len(texts)} times")
        problems += [f"[{name}] is empty" for text in texts if not text]
        unknown = sorted({gap for text in texts for gap in re.findall(r"\{(\w+)\}", text)} - _WORDS)
        problems += [f"[{name}] has {{{gap}}}, which nothing fills" for gap in unknown]
    return problems


def _examples(texts: Sequence[str], problems: list[str]) -> list[tuple[str, str]]:
    """The pairs of the section; lines of another form are added to the problems."""
    pairs = []
    for line in "\n".join(texts).splitlines():
        noun, colon, caption = line.partition(":")
        if colon and noun.strip() and caption.strip():
            pairs.append((noun.strip(), caption.strip()))
        elif line.strip():
            problems.append(f"[examples] has the line '{line.strip()[:40]}', which is not 'noun: caption'")
    return pairs


def _filled(text: str, gaps: Mapping[str, str]) -> str:
    """The text with its gaps filled; other braces stay as they are."""
    return re.sub(r"\{(\w+)\}", lambda match: gaps[match[1]], text)
