import pytest

from tollway.domain.parameters import KEPT, ORDINARY, PART_OF, dropped, lacking, supported


def test_what_is_part_of_a_word_comes_and_goes_with_it() -> None:
    for part, whole in PART_OF.items():
        assert part in supported([whole])
        assert part in lacking([whole])
        assert whole not in supported([part])
        assert whole not in lacking([part])


def test_who_keeps_to_a_schema_can_write_json_and_who_can_not_write_json_keeps_to_none() -> None:
    assert supported(["structured_outputs"]) == {"structured_outputs", "response_format"}
    assert supported(["response_format"]) == {"response_format"}
    assert lacking(["response_format"]) == {"structured_outputs", "response_format"}
    assert lacking(["structured_outputs"]) == {"structured_outputs"}


@pytest.mark.parametrize(
    ("fields", "needs", "unsupported", "left_out"),
    [
        (["model", "seed"], [], ["logprobs"], []),
        (["model", "logprobs", "top_logprobs"], [], ["logprobs"], ["logprobs", "top_logprobs"]),
        (["tools", "tool_choice"], ["tools"], ["tools"], ["tools", "tool_choice"]),
        (["response_format"], ["structured_outputs"], ["structured_outputs"], ["response_format"]),
        (["response_format"], ["structured_outputs"], ["response_format"], ["response_format"]),
        (["response_format"], ["response_format"], ["structured_outputs"], []),
        (["messages"], ["vision"], ["vision"], []),
        (sorted(KEPT), [], sorted(KEPT), []),
    ],
)
def test_a_field_that_is_not_taken_is_dropped(
    fields: list[str], needs: list[str], unsupported: list[str], left_out: list[str]
) -> None:
    assert dropped(fields, needs, lacking(unsupported)) == left_out


def test_what_is_never_dropped_is_ordinary() -> None:
    assert KEPT < ORDINARY
