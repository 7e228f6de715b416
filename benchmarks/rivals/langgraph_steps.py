"""LangGraph with its SQLite checkpointer (PyPI): a graph of one node that follows itself."""

from __future__ import annotations

import operator
import sqlite3
import time
from typing import Annotated, Any, TypedDict

from langgraph.checkpoint.sqlite import SqliteSaver
from langgraph.graph import END, START, StateGraph
from work import arguments, message, report


class Counter(TypedDict):
    n: int
    last: int


class Chat(TypedDict):
    last: int
    messages: Annotated[list[str], operator.add]


def count(state: Counter) -> Any:
    return {"n": state["n"] + 1}


def talk(state: Chat) -> Any:
    return {"messages": [message(len(state["messages"]))]}


def main() -> None:
    what, setting, db, steps = arguments()
    chat = what == "chat"
    graph = StateGraph(Chat if chat else Counter)
    graph.add_node("work", talk if chat else count)
    graph.add_edge(START, "work")
    size = (lambda s: len(s["messages"])) if chat else (lambda s: s["n"])
    graph.add_conditional_edges("work", lambda s: END if size(s) >= s["last"] else "work", ["work", END])
    connection = sqlite3.connect(db, check_same_thread=False)
    saver = SqliteSaver(connection)
    saver.setup()
    durability, _, equal = setting.partition("-")
    if equal:
        connection.execute("PRAGMA synchronous = NORMAL")
    app = graph.compile(checkpointer=saver, interrupt_before=["work"] if what == "resume" else None)
    config: Any = {"configurable": {"thread_id": "bench"}, "recursion_limit": steps + 10}
    more: dict[str, float] = {}
    started = time.perf_counter()
    if what == "resume":
        app.invoke(None, config, durability=durability)
        more["first_step_s"] = time.perf_counter() - started
    else:
        first: Any = {"last": steps, "messages": []} if chat else {"n": 0, "last": steps + 2}
        if what == "prepare":
            config["recursion_limit"] = steps
            try:
                app.invoke(first, config, durability=durability)
            except Exception as error:
                if "ecursion" not in str(error):
                    raise
        else:
            app.invoke(first, config, durability=durability)
    seconds = time.perf_counter() - started
    connection.close()
    report(db, steps, seconds, **more)


main()
