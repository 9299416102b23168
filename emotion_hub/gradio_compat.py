"""Compatibility with gradio: what the demo uses beyond its documentation.

Replaced: the two methods with which a component moves a file or an address into gradio's cache. Relied on:
`processing_utils.move_files_to_cache` with `keep_in_cache`, `Context.root_block` inside `gr.Blocks`, and the
`stop_event` of a mounted app, which ends the event streams of open pages.

The bound gradio>=6.31,<7 in pyproject.toml also allows later releases, on which tests/test_gradio_compat.py fails if
one of these has changed.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

if TYPE_CHECKING:
    import gradio as gr

__all__ = ["cached_value", "current_page", "end_event_streams", "without_downloads"]

C = TypeVar("C")


def without_downloads(component: type[C]) -> type[C]:
    """Class decorator for a component: an address in place of a file is refused with gradio's Error.

    gradio would download the address: any request could make this server fetch a file. A mixin would not do, because
    gradio takes a subclass's frontend from its first base class.
    """
    kind: Any = component
    move, async_move = kind.move_resource_to_block_cache, kind.async_move_resource_to_block_cache

    def checked_move(self: Any, url_or_file_path: str | Path | None) -> str | None:
        _refuse_address(url_or_file_path)
        return move(self, url_or_file_path)

    async def checked_async_move(self: Any, url_or_file_path: str | Path | None) -> str | None:
        _refuse_address(url_or_file_path)
        return await async_move(self, url_or_file_path)

    kind.move_resource_to_block_cache = checked_move
    kind.async_move_resource_to_block_cache = checked_async_move
    return component


def _refuse_address(url_or_file_path: str | Path | None) -> None:
    import gradio as gr

    if url_or_file_path is not None and "://" in str(url_or_file_path):
        raise gr.Error(
            "this server downloads nothing; send the picture itself, with handle_file(path)", print_exception=False
        )


def cached_value(component: gr.components.Component, path: Path) -> Any:
    """The component's value for a file of ours: a copy in gradio's cache that gradio's clean-up does not delete."""
    from gradio import processing_utils

    value = component.postprocess(path)
    return processing_utils.move_files_to_cache(value, component, postprocess=True, keep_in_cache=True)


def current_page() -> gr.Blocks:
    """The `gr.Blocks` that is being built. Raises RuntimeError outside of one."""
    import gradio as gr

    page = gr.context.Context.root_block
    if page is None:
        raise RuntimeError("no page is being built: call this inside `with gr.Blocks()`")
    return page


def end_event_streams(demo: Any) -> None:
    """End the event streams of the open pages of `demo`, an app that `gr.mount_gradio_app` has mounted.

    Call it in the event loop. Each open page holds a stream for as long as it is shown. gradio ends them when its own
    server stops, but not when the demo is mounted in another app.
    """
    demo.stop_event.set()
