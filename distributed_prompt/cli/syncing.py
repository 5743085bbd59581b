"""The commands that move packs to S3 and back."""

from typing import Any

import click

from distributed_prompt.backends.sync import PREFERENCES, PullResult, PushResult
from distributed_prompt.backends.sync import pull as pull_pack
from distributed_prompt.backends.sync import push as push_pack
from distributed_prompt.backends.sync import sync as sync_pack
from distributed_prompt.cli.console import number, printable, progress
from distributed_prompt.cli.group import main

_FILE = click.argument("file")
_ADDRESS = click.argument("address")
_ENDPOINT = click.option(
    "--endpoint-url", metavar="URL", help="Server other than Amazon's; AWS_ENDPOINT_URL says it for good."
)
_REGION = click.option("--region", "region_name", metavar="NAME", help="Region, if not the configured one.")
_DRY_RUN = click.option("--dry-run", is_flag=True, help="Only say what would be moved.")


@main.command()
@_FILE
@_ADDRESS
@_ENDPOINT
@_REGION
@_DRY_RUN
@click.option(
    "--force", is_flag=True, help="Overwrite what another writer pushes at the same time, and what is no pack."
)
@click.option("--abort-uploads", is_flag=True, help="Abort other uploads to ADDRESS, even those at work.")
def push(file: str, address: str, **options: Any) -> None:
    """Make the object at ADDRESS equal to the pack FILE, sending only what differs.

    \b
    dprompt push corpus.dprompt s3://prompts/corpus.dprompt
    dprompt push corpus.dprompt s3://prompts/corpus.dprompt --endpoint-url https://s3.example.org

    Readers see the old pack or the new one. A push that was interrupted is gone on with by the next one. Credentials
    and region come from where boto3 looks for them: environment, ~/.aws, or the machine's role.
    """  # noqa: D301  # click wants the backspace itself
    with progress("push", "B", scale=True) as update:
        result = push_pack(file, address, progress=update, **options)
    _report(address, result)


@main.command()
@_ADDRESS
@_FILE
@_ENDPOINT
@_REGION
@_DRY_RUN
@click.option("--force", is_flag=True, help="Replace FILE if it exists and differs.")
def pull(address: str, file: str, *, force: bool, **options: Any) -> None:
    """Make FILE equal to the pack at ADDRESS, receiving only what differs.

    FILE is written beside its name and gets it when all of it is there and checked.
    """
    with progress("pull", "B", scale=True) as update:
        result = pull_pack(address, file, overwrite=force, progress=update, **options)
    _report(file, result)


@main.command()
@_FILE
@_ADDRESS
@_ENDPOINT
@_REGION
@_DRY_RUN
@click.option("--prefer", type=click.Choice(PREFERENCES), help="Which side is right if they differ.")
def sync(file: str, address: str, **options: Any) -> None:
    """Push FILE if ADDRESS has no pack, pull it if there is no FILE, do nothing if both are equal.

    If they differ, nothing is done without --prefer: which of them is newer cannot be told.
    """
    with progress("sync", "B", scale=True) as update:
        result = sync_pack(file, address, progress=update, **options)
    _report(address if isinstance(result, PushResult) else file, result)


def _report(place: str, result: PushResult | PullResult) -> None:
    if result.status == "up to date":
        click.echo(f"{printable(place)}: up to date, {result.size_bytes:,} bytes")
        return
    status, size_bytes, moved_bytes, _, blocks, moved_blocks = result
    done = "sent" if isinstance(result, PushResult) else "received"
    verb, kept = (f"to be {done}", "to be copied") if status.startswith("would") else (done, "copied")
    click.echo(
        f"{printable(place)}: {moved_bytes:,} of {size_bytes:,} bytes {verb}, "
        f"{blocks - moved_blocks:,} of {number(blocks, 'block')} {kept}"
    )
