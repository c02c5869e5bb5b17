"""Pack documents or rows into blocks of one context length, in an order that is a pure function of seed and epoch.

Resuming is therefore a seek: block `index` of epoch `epoch` is computed directly. With context length 4, BOS 1, EOS 2
and the documents [5] and [7 8 9], unshuffled, a dot for padding and for no target:

    StreamPacker              BestFitPacker             PadPacker
    1 5 2 1 | 7 8 9 2         1 7 8 9 | 1 5 2 2         1 5 2 . | 1 7 8 9 | 2 . . .      (input_ids)
    5 2 . 7 | 8 9 2 .         7 8 9 2 | 5 2 . .         5 2 . . | 7 8 9 2 | . . . .      (labels)
    0 1 2 0 | 0 1 2 3         0 1 2 3 | 0 1 2 0         0 1 2 0 | 0 1 2 3 | 0 0 1 2      (position_ids)

No target crosses a document's border; the target of a piece's last position is the token its document goes on with.
"""

from __future__ import annotations

from llmkit.data.packing.batch import IGNORED, Batch, Ints
from llmkit.data.packing.best_fit import BestFitPacker
from llmkit.data.packing.buckets import RowBuckets
from llmkit.data.packing.documents import DocumentPacker, Tokens
from llmkit.data.packing.encoded import LONG, Column, EncodedRows, Example, LeftOut, Outcome, examples_of
from llmkit.data.packing.packer import Packer
from llmkit.data.packing.pad import PadPacker
from llmkit.data.packing.pairs import PairPacker, Sentences
from llmkit.data.packing.rows import RowPacker
from llmkit.data.packing.stream import StreamPacker

__all__ = [
    "IGNORED",
    "LONG",
    "Batch",
    "BestFitPacker",
    "Column",
    "DocumentPacker",
    "EncodedRows",
    "Example",
    "Ints",
    "LeftOut",
    "Outcome",
    "Packer",
    "PadPacker",
    "PairPacker",
    "RowBuckets",
    "RowPacker",
    "Sentences",
    "StreamPacker",
    "Tokens",
    "examples_of",
]
