"""The token stream over sources: their texts cut into sequences, mixed by shares (docs/method.md, section 3).

A stream that is harvested in windows has a part that is held out and one per window. A source's texts are put into an
order of the seed's own, text i of which belongs to part i mod n: so parts share no text, each is built by itself, and
each draws from all of a source, which is often published kind by kind. A *row* is every token but the first of a
sequence and any <bos>: the first is the tokenizer's <bos> or, where there is none, takes its place as the position that
all others attend to; a template that writes one every turn, or a text that spells it, puts more of them inside.
"""

import json
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from transformers import PreTrainedModel, PreTrainedTokenizerFast

from rlgen.activations.settings import SourcedStream
from rlgen.activations.stream import Sequence, TokenStream, assemble, drop_high_norms
from rlgen.files import ArtifactError
from rlgen.models.tokens import Message, lost, render
from rlgen.progress import Progress
from rlgen.seeds import stream_seed
from rlgen.strict import Strict

SPARE = 1.1  # rows drawn for each row asked for: what the norm filter may take
TEXTS_AT_A_TIME = 64


BLOCK_BYTES, NEW_LINE = 1 << 24, ord("\n")


class BuildMixedStream(Strict):
    """Settings of one part of a stream over sources: the whole, or the held-out part 0 and the windows from 1."""

    seed: int
    threads: int
    part: int
    stream: SourcedStream


@dataclass
class Rendered:
    """Conversations that went through a chat template, and those of which it left text out."""

    conversations: int = 0
    cut: int = 0
    first: str = ""

    def see(self, messages: list[Message], text: str) -> None:
        """Count one conversation and its rendering."""
        missing, self.conversations = lost(messages, text), self.conversations + 1
        if missing is not None:
            self.cut, self.first = self.cut + 1, self.first or missing

    def tell(self, path: Path) -> None:
        """Say on stderr how many were cut."""
        if self.cut:
            what = f"{self.cut} of {self.conversations} conversations lose text in the chat template"
            print(f"{path}: {what}, such as {self.first[:60]!r}: it is not in the stream", file=sys.stderr)


def texts(
    path: Path, tokenizer: PreTrainedTokenizerFast, seed: int, part: int, parts: int, rendered: Rendered | None = None
) -> Iterator[str]:
    """The texts of one part of a source's file (JSONL), in the seed's order; conversations through the template."""
    rendered, starts = rendered or Rendered(), line_starts(path)
    order = np.random.default_rng(stream_seed(seed, "source-texts", path.stem)).permutation(len(starts))
    with path.open("rb") as lines:
        for number in order[part::parts]:
            lines.seek(starts[number])
            try:
                row = json.loads(lines.readline())
                if "text" in row:
                    text = row["text"]
                else:
                    text = render(tokenizer, row["messages"], add_generation_prompt=False)
                    rendered.see(row["messages"], text)
            except (ValueError, KeyError, TypeError) as error:
                raise ArtifactError(path, f"line {number + 1} is no text or conversation ({error!r})") from error
            yield text


def line_starts(path: Path) -> NDArray[np.int64]:
    """Where the lines of a file start, in bytes."""
    starts, read = [np.zeros(1, dtype=np.int64)], 0
    with path.open("rb") as file:
        while block := file.read(BLOCK_BYTES):
            starts.append(np.flatnonzero(np.frombuffer(block, dtype=np.uint8) == NEW_LINE) + read + 1)
            read += len(block)
    found = np.concatenate(starts)
    return found[:-1] if found[-1] == read else found  # nothing starts behind the last line's end


def cut(texts: Iterator[str], tokenizer: PreTrainedTokenizerFast, tokens: int) -> Iterator[Sequence]:
    """Sequences of at most `tokens` tokens, the tokenizer's <bos> included; a tail of one token is dropped."""
    start = tokenizer("", add_special_tokens=True)["input_ids"][:1]
    bos = -1 if tokenizer.bos_token_id is None else tokenizer.bos_token_id
    start = start if start and start[0] == bos else []
    while batch := list(islice(texts, TEXTS_AT_A_TIME)):
        for ids in tokenizer(batch, add_special_tokens=False, verbose=False)["input_ids"]:
            ids = ids[len(start) :] if start and ids[:1] == start else ids  # the template has put it there already
            step = tokens - len(start)
            for piece in (start + ids[first : first + step] for first in range(0, len(ids), step)):
                ids_T = np.array(piece, dtype=np.int32)
                rows_T = (np.arange(len(piece)) > 0) & (ids_T != bos)
                if rows_T.any():
                    yield ids_T, rows_T


def drawn(path: Path, rows: int, tokenizer: PreTrainedTokenizerFast, cfg: BuildMixedStream) -> Iterator[Sequence]:
    """Sequences of a source until they hold `rows` rows. Raises ArtifactError where its part holds fewer."""
    found, parts = 0, parts_of(cfg)
    progress = Progress(f"tokens of {path.stem}", rows, "rows")
    rendered = Rendered()
    of_part = texts(path, tokenizer, cfg.seed, cfg.part, parts, rendered)
    for sequence in cut(of_part, tokenizer, cfg.stream.sequence_tokens):
        yield sequence
        found += int(sequence[1].sum())
        progress.update(found)
        if found >= rows:
            rendered.tell(path)
            return
    remedy = "lower stream.rows or its share in stream.mix, or fetch more rows of it"
    raise ArtifactError(path, f"part {cfg.part} of {parts} holds {found} rows, {rows} are needed", remedy)


def build(
    files: dict[str, Path], tokenizer: PreTrainedTokenizerFast, reference: PreTrainedModel, cfg: BuildMixedStream
) -> TokenStream:
    """One part of the stream: texts of every source (name -> JSONL) by its share, shuffled, without high norms.

    The reference model's norms decide which rows are dropped, for all models. A tenth more rows than asked for are
    drawn before the filter. Raises ArtifactError naming a source that is too short.
    """
    sequences: list[Sequence] = []
    for source, share in cfg.stream.mix.items():
        sequences += drawn(files[source], round(SPARE * share * rows_of(cfg)), tokenizer, cfg)
    rng = np.random.default_rng(stream_seed(cfg.seed, "mixed-stream", cfg.part))
    stream = assemble(sequences, pad_id(tokenizer), rng, mixed_lengths=True)
    return drop_high_norms(stream, reference, cfg.stream.layer, cfg.stream.max_norm_ratio)


def parts_of(cfg: BuildMixedStream) -> int:
    """Parts of the stream: one, or the held-out part 0 and the windows 1, 2, ..."""
    return 1 if cfg.stream.windows == 1 else 1 + cfg.stream.windows


def rows_of(cfg: BuildMixedStream) -> int:
    """Rows of a part: all, the held-out shards, or a window's."""
    stream = cfg.stream
    if parts_of(cfg) == 1:
        return stream.rows
    shards = stream.held_out_shards if cfg.part == 0 else stream.training_shards // stream.windows
    return shards * stream.shard_rows


def pad_id(tokenizer: PreTrainedTokenizerFast) -> int:
    """What fills up short sequences; no row sees it, so any token will do."""
    return tokenizer.eos_token_id if tokenizer.pad_token_id is None else tokenizer.pad_token_id
