"""The filters around the decision: what is read of a body before it, and rewritten after it."""

from collections.abc import Sequence
from typing import Any

from tallystick.envoy.extension import extension, typed

_JSON = "envoy.extensions.filters.http.json_to_metadata.v3.JsonToMetadata"
_MUTATION = "envoy.extensions.filters.http.header_mutation.v3.HeaderMutation"
_TRANSFORM = "envoy.extensions.filters.http.transform.v3.TransformConfig"
_BUFFER = "envoy.extensions.filters.http.buffer.v3.Buffer"
_WITH_MATCHER = "envoy.extensions.common.matching.v3.ExtensionWithMatcher"
_METADATA_INPUT = "envoy.extensions.matching.common_inputs.network.v3.DynamicMetadataInput"
_METADATA_MATCHER = "envoy.extensions.matching.input_matchers.metadata.v3.Metadata"
_SKIP = "envoy.extensions.filters.common.matcher.action.v3.SkipFilter"

DECISION = "envoy.filters.http.ext_authz"
"""The namespace of what ext_authz answered."""
PATCH, REWRITE = "patch", "rewrite"
"""Keys in it: the object to merge into the body, and "yes" where there is one."""

BODIES = "envoy.filters.http.json_to_metadata"
"""The filter that reads bodies, and the namespace of what it read of a request."""

READ = (
    ("model",),
    ("stream",),
    ("n",),
    ("max_tokens",),
    ("max_completion_tokens",),
    ("max_output_tokens",),
    ("service_tier",),
    ("stream_options", "include_usage"),
    ("generationConfig", "maxOutputTokens"),
    ("inferenceConfig", "maxTokens"),
)
"""Fields of request bodies that the sidecar is told, also where they stand behind what it is shown."""
JSON_TYPES = r"(?i)application/([a-z0-9.+-]+\+)?json\s*(;.*)?"


def reading_bodies() -> dict[str, Any]:
    """Write the filter that hands over the fields that decide what a call may cost."""
    return {"name": BODIES, "typed_config": bodies_read()}


def bodies_read(of_answers: Sequence[dict[str, Any]] = ()) -> dict[str, Any]:
    """Write what is read of JSON bodies: `READ` of requests, and of answers what the rules say."""
    rules = [
        {"selectors": [{"key": key} for key in path], "on_present": {"key": ".".join(path)}} for path in READ
    ]
    kinds = {"allow_content_types_regex": {"regex": JSON_TYPES}}
    answers = {"rules": list(of_answers), **kinds} if of_answers else None
    return typed(_JSON, request_rules={"rules": rules, **kinds}, response_rules=answers)


def cleaning() -> dict[str, Any]:
    """Write the filter that keeps what was meant for the sidecar from the provider."""
    ours = [{"remove_on_match": {"key_matcher": {"prefix": prefix}}} for prefix in ("x-tallystick-",)]
    return extension(
        "envoy.filters.http.header_mutation",
        _MUTATION,
        mutations={"request_mutations": [*ours, {"remove": "x-envoy-auth-partial-body"}]},
    )


def rewriting(max_body_bytes: int) -> list[dict[str, Any]]:
    """Write the filters that merge the decision's patch into the body, and tell its new length.

    They write the whole body anew, so they are passed over where nothing is to be changed.
    """
    patch = {"text_format_source": {"inline_string": f"%DYNAMIC_METADATA({DECISION}:{PATCH})%"}}
    transform = extension(
        "transform",
        _TRANSFORM,
        request_transformation={"body_transformation": {"body_format": patch, "action": "MERGE"}},
    )
    asked = {
        "input": extension("decision", _METADATA_INPUT, filter=DECISION, path=[{"key": REWRITE}]),
        "custom_match": extension("rewrite", _METADATA_MATCHER, value={"string_match": {"exact": "yes"}}),
    }
    skip = {
        "predicate": {"not_matcher": {"single_predicate": asked}},
        "on_match": {"action": extension("skip", _SKIP)},
    }
    matcher = {"matcher_list": {"matchers": [skip]}}
    measure = extension("measure", _BUFFER, max_request_bytes=2 * max_body_bytes)  # a patch may lengthen it
    return [
        extension(f"tallystick.{each['name']}", _WITH_MATCHER, extension_config=each, xds_matcher=matcher)
        for each in (transform, measure)
    ]
