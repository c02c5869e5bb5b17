"""Good English for keep.py: kinds of text that people train on, each in the layout it is found in."""

# ruff: noqa: E501 - one text a line
from __future__ import annotations

import re
from collections.abc import Iterator

from _keep_sources import Sources, words, wrap
from _keep_verse import ENGLISH

_NAMES = words("Alice Bruno Chandra Dmitri Elena Farid Grace Hiro Ines Jonas Katya Liam Mara Noor Olga Pavel")
_PLACES = words("LONDON OSLO NAIROBI LIMA OTTAWA DELHI MANILA QUITO ACCRA SOFIA")


def novel_pages(sources: Sources, count: int) -> Iterator[str]:
    """Pages of novels as they stand in the file, cut in the middle of paragraphs."""
    yield from sources.novel_lines.take(count)


def novels_whole(sources: Sources, count: int) -> Iterator[str]:
    """Novels, each a document."""
    yield from sources.novels[:count]


def novels_rewrapped(sources: Sources, count: int) -> Iterator[str]:
    """Pages in lines of 48 to 80 characters, by turns with blank lines and with indented first lines."""
    for number in range(count):
        width = 48 + number % 5 * 8
        found = sources.novel_paragraphs.stretch(2500)
        if number % 2:
            yield "\n".join(wrap(paragraph, width, first="    ") for paragraph in found)
        else:
            yield "\n\n".join(wrap(paragraph, width) for paragraph in found)


def novels_unwrapped(sources: Sources, count: int) -> Iterator[str]:
    """Pages with a line a paragraph."""
    for _ in range(count):
        yield "\n\n".join(sources.novel_paragraphs.stretch(2500))


def gutenberg(sources: Sources, count: int) -> Iterator[str]:
    """Chapters in the frame of a Project Gutenberg file."""
    for number in range(count):
        body = "\n\n".join(wrap(p, 72) for p in sources.novel_paragraphs.stretch(4000))
        yield (
            f"Title: The House at Number {number}\n\nAuthor: A. N. Other\n\nRelease Date: March {number % 28 + 1}, 2004\n"
            f"[EBook #{9000 + number}]\n\nLanguage: English\n\n*** START OF THIS EBOOK ***\n\n\n\n\nCHAPTER I\n\n\n{body}\n\n\n"
            "                                   THE END\n\n\n*** END OF THIS EBOOK ***"
        )


def drama(sources: Sources, count: int) -> Iterator[str]:
    """Speakers' names on lines of their own, their speeches wrapped and indented."""
    for number in range(count):
        speeches = sources.novel_paragraphs.stretch(2500)
        who = [_NAMES[(number + i) % 5].upper() for i in range(len(speeches))]
        yield "\n\n".join(f"{name}.\n{wrap(text, 60, '  ')}" for name, text in zip(who, speeches, strict=True))


def speeches(sources: Sources, count: int) -> Iterator[str]:
    """Whole addresses."""
    yield from sources.speeches[:count]


def cut_paragraphs(sources: Sources, count: int) -> Iterator[str]:
    """One paragraph of about 1,000 characters, cut in mid-sentence at both ends."""
    for _ in range(count):
        found = " ".join(sources.speech_paragraphs.stretch(1300))
        if found:
            begin, end = found.index(" ", 60), found.rindex(" ", 0, 1200)
            yield found[begin:end].strip(" .")


def language_reference(sources: Sources, count: int) -> Iterator[str]:
    """Chapters of Python's reference: prose, grammar and examples."""
    prose = [text for text in sources.topics if len(re.findall(r"^[A-Za-z].{40}", text, re.MULTILINE)) > 15]
    yield from prose[:count]


def manual_pages(sources: Sources, count: int) -> Iterator[str]:
    """Pages as `man` shows them: 78 columns, indented by 7, options with hanging text."""
    for number in range(count):
        about = sources.doc_paragraphs.take(4)
        options = sources.doc_paragraphs.take(5)
        name = f"{_NAMES[number % 16].lower()}ctl"
        body = "\n\n".join(wrap(text, 78, " " * 7) for text in about)
        tags = "\n\n".join(
            f"       -{chr(97 + i)}, --{_NAMES[i].lower()}=VALUE\n{wrap(text, 78, ' ' * 14)}"
            for i, text in enumerate(options)
        )
        yield (
            f"{name.upper()}(8)              System Manager's Manual              {name.upper()}(8)\n\nNAME\n       {name}"
            f" - control the {name[:-3]} service\n\nSYNOPSIS\n       {name} [OPTION]... FILE...\n\nDESCRIPTION\n{body}\n\n"
            f"OPTIONS\n{tags}\n\nSEE ALSO\n       systemd(1), {name}.conf(5)"
        )


def kernel_docs(sources: Sources, count: int) -> Iterator[str]:
    """ReStructuredText in which most lines are prose."""
    yield from sources.kernel_docs[:count]


def help_pages(sources: Sources, count: int) -> Iterator[str]:
    """Pages of help: many headings and short paragraphs, a line each."""
    yield from ("\n".join(page) for page in sources.help_pages("src")[:count])


def mail(sources: Sources, count: int) -> Iterator[str]:
    """Bodies of mail: greeting, wrapped paragraphs, quoted lines, a link or two, a signature."""
    for number in range(count):
        name, other = _NAMES[number % 16], _NAMES[(number + 5) % 16]
        asked, *answer = sources.doc_paragraphs.take(1 + 1 + number % 3)
        quoted = wrap(asked, 70, "> ")
        links = f"\n\nSee http://lists.example.org/archive/2026/{number:03}/thread_v{number}.html for the rest."
        parts = [wrap(p, 72) for p in answer]
        yield (
            f"Hi {other},\n\nOn Tuesday you wrote:\n{quoted}\n\n"
            + "\n\n".join(parts)
            + f"{links if number % 2 else ''}\n\n"
            f"Regards,\n{name}\n\n-- \n{name} Example\nhttps://www.example.org/~{name.lower()}/"
        )


def faq(sources: Sources, count: int) -> Iterator[str]:
    """Numbered questions, their answers wrapped and indented."""
    for _ in range(count):
        asked, told = sources.questions.take(5), sources.doc_paragraphs.take(5)
        if len(asked) == 5:
            pairs = enumerate(zip(asked, told, strict=True), start=1)
            yield "\n\n".join(f"{i}. {q}\n\n{wrap(a, 75, '   ')}" for i, (q, a) in pairs)


def dialogues(sources: Sources, count: int) -> Iterator[str]:
    """Conversations, a line a turn, two speakers."""
    for number in range(count):
        turns = "\n".join(sources.conversations.stretch(700)).split("\n")
        names = (_NAMES[number % 16], _NAMES[(number + 3) % 16])
        yield "\n".join(f"{names[i % 2]}: {turn}" if number % 2 else turn for i, turn in enumerate(turns))


def forum(sources: Sources, count: int) -> Iterator[str]:
    """Threads: names, dates, short posts, a quotation."""
    for number in range(count):
        posts = [" ".join(sources.review_sentences.take(4)) for _ in range(4)]
        found = []
        for i, post in enumerate(posts):
            who = f"{_NAMES[(number + i) % 16].lower()}{number % 90 + 10}"
            found.append(f"{who} wrote on {i + 1} May 2019, 1{i}:0{number % 10}\n\n{post}")
        yield "\n\n".join(found)


def reviews(sources: Sources, count: int) -> Iterator[str]:
    """Reviews of one paragraph."""
    for _ in range(count):
        yield " ".join(sources.review_sentences.take(8))


def news(sources: Sources, count: int) -> Iterator[str]:
    """A headline, a dateline, paragraphs of a sentence or two."""
    for number in range(count):
        text = " ".join(sources.speech_paragraphs.stretch(1800))
        told = [s + "." for s in text.split(". ") if 60 < len(s) < 400]
        if told:
            head = " ".join(told[-1].split()[:7]).title().strip(".,")
            yield f"{head}\n\n{_PLACES[number % 10]}, May {number % 28 + 1} (Agency) - " + "\n\n".join(told[:-1])


def encyclopedic(sources: Sources, count: int) -> Iterator[str]:
    """Articles: a title, sections, references in brackets, a list of literature."""
    for number in range(count):
        parts = sources.speech_paragraphs.take(4)
        if len(parts) == 4:
            heads = ("", "History\n", "Organization\n", "Influence\n")
            noted = [
                f"{head}{p.replace('. ', f'.[{i + 1}] ', 1)}"
                for i, (head, p) in enumerate(zip(heads, parts, strict=True))
            ]
            works = "\n".join(
                f"{_NAMES[(number + i) % 16]}, R. (19{60 + i}). Essays on the subject. {_PLACES[i].title()}."
                for i in range(3)
            )
            yield f"{_NAMES[number % 16]} Commission\n\n" + "\n\n".join(noted) + f"\n\nReferences\n{works}"


def markdown(sources: Sources, count: int) -> Iterator[str]:
    """A README: headings, emphasis, links, a list, a fence."""
    for number in range(count):
        one, two, three, four, listed = sources.doc_paragraphs.take(5)
        name = _NAMES[number % 16].lower()
        items = "\n".join(
            f"- **{word.strip('.,')}**: {' '.join(listed.split()[i * 9 : i * 9 + 9])}"
            for i, word in enumerate(listed.split()[:3])
        )
        yield (
            f"# {name}\n\n{wrap(one, 80) if number % 2 else one}\n\n## Install\n\n```sh\npip install {name}\n```\n\n{two}\n\n"
            f"## Usage\n\n{items}\n\n{wrap(three, 80) if number % 2 else three} See [the docs](https://{name}.example.org/docs).\n\n"
            f"## Notes\n\n{four}"
        )


def poetry(sources: Sources, count: int) -> Iterator[str]:  # noqa: ARG001 - the same everywhere
    """Verse that everybody knows."""
    yield from ENGLISH[:count]


GOOD = (
    novel_pages, novels_whole, novels_rewrapped, novels_unwrapped, gutenberg, drama, speeches, cut_paragraphs,
    language_reference, manual_pages, kernel_docs, help_pages, mail, faq, dialogues, forum, reviews, news, encyclopedic,
    markdown, poetry,
)  # fmt: skip
