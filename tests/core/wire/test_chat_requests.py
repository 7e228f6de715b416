"""Messages and tools are written as Chat Completions wants them."""

from loom_core.contracts.models import Message, ModelRequest, ToolCall, ToolSpec
from loom_core.wire.chat_requests import encode_message, encode_tool, prompt_chars

CALL = ToolCall(id="c1", name="add", arguments='{"a": 1}')


def test_plain_messages_have_role_and_content() -> None:
    assert encode_message(Message(role="user", content="hi")) == {"role": "user", "content": "hi"}


def test_an_assistant_that_only_calls_has_null_content() -> None:
    assert encode_message(Message(role="assistant", tool_calls=(CALL,))) == {
        "role": "assistant",
        "content": None,
        "tool_calls": [{"id": "c1", "type": "function", "function": {"name": "add", "arguments": '{"a": 1}'}}],
    }


def test_a_result_names_the_call_that_it_answers() -> None:
    message = Message(role="tool", content="2", tool_call_id="c1", name="add")
    assert encode_message(message) == {"role": "tool", "content": "2", "tool_call_id": "c1"}


def test_a_tool_is_a_function_with_its_schema() -> None:
    tool = ToolSpec(name="add", description="Add.", parameters={"type": "object"})
    assert encode_tool(tool) == {
        "type": "function",
        "function": {"name": "add", "description": "Add.", "parameters": {"type": "object"}},
    }


def test_the_length_of_a_prompt_counts_all_that_is_sent() -> None:
    messages = (Message(role="user", content="1234"), Message(role="assistant", tool_calls=(CALL,)))
    tool = ToolSpec(name="abc", description="de", parameters={})
    assert prompt_chars(ModelRequest(model="m", messages=messages, tools=(tool,))) == 4 + 3 + 8 + 3 + 2 + 2
