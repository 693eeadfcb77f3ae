"""What each command does, from checked options to the exit code."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import TYPE_CHECKING

import anyio

from ._csv import TableOptions
from ._exits import ExitCode
from ._input import read_batch
from ._logging import wants_logs, warnings_told
from ._reporters import PlainReporter, choose_reporter
from ._session import check_account
from ._text import counted
from ._vocabulary import Vocabulary, kinovi_vocabulary, unknown_models

if TYPE_CHECKING:
    from ._lines import Batch
    from ._options import RunOptions
    from ._reporters import Reporter


def run_command(options: RunOptions) -> ExitCode:
    """`kinovi run`."""
    from .._downloads import check_template

    if not (options.simulate or options.dry_run):
        check_account(may_simulate=True)
    reporter = choose_reporter(
        as_json=options.as_json,
        quiet=options.quiet,
        clock=time.monotonic,
        live=not wants_logs(),
    )
    vocabulary = kinovi_vocabulary(options.api_generation)
    batch = _read(options, vocabulary, reporter)
    if batch is None:
        return ExitCode.USAGE
    if options.api_generation == "seed":
        _warn_of_old_names(batch, reporter)
    check_template(options.name_template, {*options.tags, *batch.tag_names})
    if options.dry_run:
        from ._check import check

        return check(batch, options, vocabulary, reporter)
    from ._books import make_directory
    from ._run import run_batch

    make_directory(options.out)
    try:
        with warnings_told(reporter):
            return anyio.run(run_batch, batch, options, vocabulary, reporter)
    finally:
        reporter.stop()


def _warn_of_old_names(batch: Batch, reporter: Reporter) -> None:
    """Once, before anything is paid: today's API may not know the names of references."""
    from .._requests import renamed_references

    found = [names for line in batch.lines if (names := renamed_references(line.request))]
    if found:
        old, new = next(iter(found[0].items()))
        lines = counted(len(found), "line sends", "lines send")
        reporter.warn(
            f"{lines} references under the names of the API's first documents (as {old}); an API "
            f"that knows them as {new} ignores the old names without a word, generates from the "
            "text alone and charges for it. If yours is the later one: --api-generation 2026-09"
        )


def check_command(options: RunOptions, *, compare: bool) -> ExitCode:
    """`kinovi check`."""
    from ._check import check

    reporter: Reporter = PlainReporter(clock=time.monotonic)
    if options.as_json:
        reporter = choose_reporter(as_json=True, quiet=False, clock=time.monotonic)
    vocabulary = kinovi_vocabulary(options.api_generation)
    batch = _read(options, vocabulary, reporter)
    if batch is None:
        return ExitCode.USAGE
    return check(batch, options, vocabulary, reporter, compare=compare)


def _read(options: RunOptions, vocabulary: Vocabulary, reporter: Reporter) -> Batch | None:
    """The batch file, or None when something is wrong with it, which is told."""
    table = TableOptions(tags=options.tags, id_column=options.id_column, model=options.model)
    batch = read_batch(options.file, vocabulary, table, first=options.first)
    for note in batch.notes:
        reporter.tell(f"{batch.name}: {note}")
    for problem in batch.problems:
        reporter.warn(problem.show(batch.name))
        reporter.event(
            "problem",
            {"line": problem.line, "field": problem.field, "message": problem.message},
        )
    if batch.problems:
        reporter.warn(f"nothing was sent: {counted(len(batch.problems), 'problem')}")
        return None
    models = (str(line.body["model"]) for line in batch.lines)
    for sentence in unknown_models(models, vocabulary.kinds):
        reporter.warn(sentence)
    return batch


def generate_command(
    model: str, prompt: str | None, settings: Sequence[str], options: RunOptions
) -> ExitCode:
    """`kinovi generate`."""
    from ._books import check_writable, make_directory
    from ._single import generate, left_sentence, request_body

    vocabulary = kinovi_vocabulary(options.api_generation)
    body = request_body(model, prompt, settings, vocabulary)
    vocabulary.check(body)  # a wrong field is told before a missing key
    if not options.simulate:
        check_account(may_simulate=True)
    reporter = PlainReporter(clock=time.monotonic, quiet=options.quiet)
    for sentence in unknown_models([model], vocabulary.kinds):
        reporter.warn(sentence)
    if options.has_out:
        make_directory(options.out)
    if options.download:
        check_writable(options.out)
    with warnings_told(reporter, left=lambda task_id: left_sentence(task_id, options)):
        return anyio.run(generate, body, options, vocabulary, reporter)


def task_command(task_id: str, options: RunOptions, *, wait: bool) -> ExitCode:
    """`kinovi task`."""
    from functools import partial

    from ._books import make_directory
    from ._single import show_task

    check_account(may_simulate=False)
    if options.has_out:
        make_directory(options.out)
    return anyio.run(
        partial(show_task, task_id, options, PlainReporter(clock=time.monotonic), wait=wait)
    )


def download_command(options: RunOptions, *, template: str | None) -> ExitCode:
    """`kinovi download`."""
    from functools import partial

    from ._single import download

    reporter = PlainReporter(clock=time.monotonic, quiet=options.quiet)
    with warnings_told(reporter):
        return anyio.run(partial(download, options, reporter, template=template))
