"""From what ext_proc was shown of an answer to how its call ended."""

from tallystick.providers.answers import Answer
from tallystick.providers.call import Api
from tallystick.proxied import entries
from tallystick.proxied.calls import Ending
from tallystick.services.ext_proc_messages import AnswerHead


def ending_of(api: Api, head: AnswerHead, answer: Answer, *, whole: bool) -> Ending:
    """How a call ended whose answer had begun; `whole` if it came to its end.

    Whether it is the client or the provider who broke off, ext_proc is not told.
    """
    # Not every server says that it is done. Anthropic's tell of usage at the start, others at the end.
    told_all = whole and api is not Api.ANTHROPIC_MESSAGES and answer.usage is not None and not answer.failed
    complete = answer.complete or told_all
    return Ending(
        sent=True,
        status=head.status,
        client_left=not (whole or complete or answer.failed),
        provider_broke_off=answer.failed and not complete,
        usage=answer.usage,
        complete=complete,
        tier=answer.tier,
        output_bytes=None if answer.unreadable else answer.output_bytes,
        text_seen=not answer.unreadable,
        streamed=_is_stream(head),
    )


def so_far(head: AnswerHead, output_bytes: int | None) -> Ending:
    """What is known of a call that goes on; `output_bytes` of text."""
    return Ending(
        sent=True,
        status=head.status,
        output_bytes=output_bytes,
        text_seen=output_bytes is not None,
        streamed=_is_stream(head),
    )


def _is_stream(head: AnswerHead) -> bool:
    return head.content_type.partition(";")[0].strip().lower() in entries.STREAM_TYPES


def ending_of_reply(head: AnswerHead, api: Api) -> Ending:
    """How a call ended that Envoy answered in the provider's place: as the access log tells it."""
    entry = entries.Entry(
        details=head.details,
        code=head.status,
        attempts=head.attempts,
        body_bytes=0,
        content_type="",
        content_encoding="",
        counts={},
        complete=False,
        answer={},
    )
    return entries.ending_of(entry, api)
