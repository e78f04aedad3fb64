"""The page of ``cm gui``: a form for one CM script. Streamlit runs this file on every change.

Everything but drawing is in ``cmx_resnet50.gui``, and is tested there.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping

import cmind
import streamlit as st

from cmx_resnet50.catalog.table import RequestError
from cmx_resnet50.catalog.variations import Group, Variation
from cmx_resnet50.engines import mlc_registry
from cmx_resnet50.engines.cm import CM
from cmx_resnet50.errors import Resnet50Error
from cmx_resnet50.gui import access, form, labels, preview, process, scripts
from cmx_resnet50.gui.command import Command
from cmx_resnet50.gui.server import Settings
from cmx_resnet50.gui.style import STYLE

LOG_HEIGHT = 320
MANY = 8  # With more choices, a drop-down list is easier than buttons.


def main() -> None:
    """Draw the page."""
    settings = Settings.from_argument(sys.argv[1])
    st.set_page_config(page_title=settings.title or "CM scripts", layout="wide")
    st.html(STYLE)
    token, host = st.query_params.get("token", ""), st.context.headers.get("Host", "")
    if problem := access.problem(token, host or "", settings.address):
        st.error(labels.escaped(problem))
        return
    reach = "this machine only" if settings.is_private else "reachable from other machines"
    st.caption(labels.escaped(f"Listening on {settings.endpoint}, {reach}."))
    tags, variations = scripts.split(settings.script)
    found = target(tags)
    if found is None:
        return
    script, command = found
    st.set_page_config(page_title=settings.title or script.alias)
    st.title(labels.escaped(settings.title or script.alias), anchor=False)
    about = [script.meta.get("category"), f"tags {','.join(script.tags)}", f"uid {script.uid}"]
    st.caption(labels.escaped(" — ".join(str(part) for part in about if part)))
    shape = form.read(script.meta)
    preset(script, shape, variations)
    left, right = st.columns([5, 6], gap="large")
    with left:
        choices = draw_form(shape)
    with right:
        draw_result(script, shape, choices, command, settings)


def target(tags: tuple[str, ...]) -> tuple[scripts.Script, Command] | None:
    """Return the script and its command; where several match, let the user choose."""
    try:
        if tags:
            return scripts.one(cmind.access, tags), Command(tags=tags)
        reason, candidates = "Which script?", scripts.find(cmind.access)
    except scripts.NotOne as problem:
        reason, candidates = problem.reason, list(problem.candidates)
    except Resnet50Error as error:
        st.error(labels.escaped(str(error)))
        return None
    st.title("CM scripts", anchor=False)
    if tags:
        st.warning(labels.escaped(reason))
    by_alias = {script.alias: script for script in sorted(candidates, key=lambda s: s.alias)}
    alias = st.selectbox("Script", list(by_alias), index=None, placeholder="Type part of a name")
    if alias is None:
        return None
    return by_alias[alias], Command(artifact=alias)


def preset(script: scripts.Script, shape: form.Form, variations: tuple[str, ...]) -> None:
    """Select what the tags request, once for each script."""
    if st.session_state.get("script") == script.uid:
        return
    st.session_state["script"] = script.uid
    for key in [key for key in st.session_state if str(key)[1:2] == ":"]:
        del st.session_state[key]
    try:
        choose(shape, variations)
    except Resnet50Error as problem:
        st.session_state["problem"] = str(problem)


def choose(shape: form.Form, variations: tuple[str, ...]) -> None:
    """Set the form to exactly `variations`; inputs stay."""
    chosen = shape.choices(variations)
    for group in shape.groups:
        st.session_state[f"g:{group.name}"] = chosen.groups.get(group.name, "")
        for choice in group.choices:
            st.session_state[f"v:{choice.name}"] = chosen.values.get(choice.name, "")
    for switch in shape.switches:
        st.session_state[f"s:{switch.name}"] = switch.name in chosen.switches
    for variation in shape.values:
        st.session_state[f"v:{variation.name}"] = chosen.values.get(variation.name, "")


def draw_form(shape: form.Form) -> form.Choices:
    """Draw the form and return the choices."""
    groups: dict[str, str] = {}
    values: dict[str, str] = {}
    st.header("Variations", anchor=False)
    if shape.groups:
        st.caption("Defaults are omitted from the command.")
    # A choice in one group may set the default of another: start from the last choices.
    last = {group.name: st.session_state.get(f"g:{group.name}", "") for group in shape.groups}
    implied = shape.implied(last)
    for group in shape.groups:
        groups[group.name] = draw_group(group, implied.get(group.name), values)
    switches = [switch.name for switch in shape.switches if draw_switch(switch)]
    for variation in shape.values:
        values[variation.name] = st.text_input(
            labels.spoken(variation.label),
            key=f"v:{variation.name}",
            placeholder="not set",
            help=labels.escaped(f"_{variation.name}, with a value in place of #"),
        )
        if variation.description:
            st.caption(labels.escaped(variation.description))
    draw_details(shape)
    return form.Choices(groups, frozenset(switches), values, draw_inputs(shape))


def draw_details(shape: form.Form) -> None:
    """Draw what each variation sets, collapsed."""
    blocks = [(group.name, group.choices, group.default) for group in shape.groups]
    if shape.switches or shape.values:
        blocks.append(("no group", (*shape.switches, *shape.values), ""))
    if shape.together:
        blocks.append(("combinations", shape.together, ""))
    if not blocks:
        st.caption("This script has no variations.")
        return
    with st.expander("What each variation sets"):
        for name, variations, default in blocks:
            st.markdown(f"**{labels.escaped(name)}**")
            st.code(labels.details(variations, default), language=None, wrap_lines=True)


def draw_group(group: Group, implied: tuple[str, str] | None, values: dict[str, str]) -> str:
    """Draw one group and return the name chosen, or an empty text for its default."""
    default = implied[0] if implied else group.default
    options = labels.options(group, default)
    key = f"g:{group.name}"
    names = {value: label for value, (label, _) in options.items()}
    captions = [labels.escaped(text) for _, text in options.values()]
    chosen = pick(
        labels.spoken(group.name), names, key, captions=captions if any(captions) else None
    )
    # Always one element, so that what follows keeps its position, and the keyboard its focus.
    place = st.empty()
    if implied is not None and not chosen:
        place.caption(labels.escaped(labels.implied(*implied)))
    for choice in group.choices:
        if choice.name == chosen and choice.takes_value:
            values[chosen] = st.text_input(
                labels.spoken(f"Value of {choice.label}"), key=f"v:{chosen}"
            )
    return chosen


def draw_switch(switch: Variation) -> bool:
    """Draw one variation that is in no group."""
    on = st.toggle(labels.spoken(labels.name(switch)), key=f"s:{switch.name}")
    if switch.description:
        st.caption(labels.escaped(switch.description))
    return on


def draw_inputs(shape: form.Form) -> dict[str, str]:
    """Draw the inputs and return those that are given."""
    given = {}
    described = [entry for entry in shape.fields if entry.described]
    others = [entry for entry in shape.fields if not entry.described]
    if described:
        st.header("Inputs", anchor=False)
        given = {entry.key: draw_input(entry) for entry in described}
    if others:
        with st.expander("Inputs that the script does not describe"):
            given |= {entry.key: draw_input(entry) for entry in others}
    return given


def draw_input(entry: form.Field) -> str:
    """Draw one input and return its value, or an empty text."""
    key, hint = f"i:{entry.key}", labels.hint(entry)
    label = labels.spoken(f"{entry.key}: {entry.text}" if entry.text else entry.key)
    if entry.choices:
        return pick(label, labels.inputs(entry), key, hint)
    return st.text_input(
        label,
        key=key,
        help=labels.escaped(hint),
        placeholder=entry.default,
    )


def pick(
    label: str,
    names: Mapping[str, str],
    key: str,
    hint: str = "",
    captions: list[str] | None = None,
) -> str:
    """Draw a choice among `names`, as buttons or as a list, and return the selected one.

    `label` and `captions`, one a name, are Markdown, the rest is plain text.
    """
    help_text = labels.escaped(hint) or None
    options = list(names)
    chosen: str | None
    before = st.session_state.get(key)
    if before not in names or st.session_state.get(f"o:{key}") != names:
        # Not chosen yet, or the default, whose value is an empty text; and a browser does not keep
        # what is chosen where the labels change.
        st.session_state[key] = before if before in names else ""
    st.session_state[f"o:{key}"] = names
    if len(options) > MANY:
        chosen = st.selectbox(
            label, options, format_func=lambda option: names[option], key=key, help=help_text
        )
    else:
        chosen = st.radio(
            label,
            options,
            format_func=lambda option: labels.escaped(names[option]),
            key=key,
            help=help_text,
            captions=captions,
            horizontal=captions is None,
        )
    return chosen or ""


def draw_result(
    script: scripts.Script,
    shape: form.Form,
    choices: form.Choices,
    command: Command,
    settings: Settings,
) -> None:
    """Draw the preview, the commands, and the run."""
    if unknown := st.session_state.pop("problem", ""):
        st.error(labels.escaped(unknown))
    try:
        asked, inputs = shape.variations(choices), shape.inputs(choices)
    except Resnet50Error as problem:
        st.error(labels.escaped(str(problem)))
        draw_run(script, None, settings)
        return
    command = Command(command.tags, command.artifact, tuple(asked), inputs)
    if preview.is_ours(script.uid) and not draw_preview(shape, asked, inputs):
        draw_run(script, None, settings)
        return
    st.header("Commands", anchor=False)
    forms = {
        "cm": command.cm,
        "cmr": command.cmr,
        "Python": command.python,
        "docker": command.docker,
    }
    if command.tags and preview.is_ours(script.uid) and mlc_registry.installed():
        forms["mlcr"] = command.mlcr
    for tab, (name, text) in zip(st.tabs(list(forms)), forms.items(), strict=True):
        with tab:
            language = "python" if name == "Python" else "bash"
            st.code(text, language=language, wrap_lines=True)
            if name == "docker" and preview.is_ours(script.uid):
                st.caption(labels.escaped(preview.in_container(inputs)))
    draw_run(script, command, settings)


def draw_preview(shape: form.Form, asked: list[str], inputs: dict[str, str]) -> bool:
    """Draw which file a run delivers, and return whether there is one."""
    st.header("File", anchor=False)
    try:
        found = preview.describe(asked, inputs)
    except RequestError as refusal:
        st.error(labels.escaped(CM.wording.apply(refusal.reason)))
        if refusal.nearest:
            st.caption("The nearest requests with a file; select one:")
        for nearest in refusal.nearest:
            tags = tuple(nearest.split(","))
            st.button(labels.escaped(nearest), on_click=choose, args=(shape, tags), key=nearest)
        return False
    except Resnet50Error as error:
        st.error(labels.escaped(str(error)))
        return False
    for file in found.files:
        with st.container(border=True):
            st.markdown(f"**{labels.escaped(file.name)}**")
            rows = [f"**{word}** {labels.escaped(fact)}" for word, fact in file.facts]
            st.markdown("  \n".join(rows))
    for note in found.notices:
        st.warning(labels.escaped(note))
    return True


def draw_run(script: scripts.Script, command: Command | None, settings: Settings) -> None:
    """Draw the run button, and the current or last run."""
    with st.container(key="run"):
        draw_run_in_place(script, command, settings)


def draw_run_in_place(script: scripts.Script, command: Command | None, settings: Settings) -> None:
    """Draw what `draw_run` does, in its container."""
    st.header("Run", anchor=False)
    if settings.no_run:
        st.info("Running is disabled (--no_run). Copy a command instead.")
        return
    run: process.Run | None = st.session_state.get("run")
    st.button(
        "Run",
        type="primary",
        disabled=command is None or (run is not None and run.running),
        on_click=start,
        args=(command, settings),
    )
    if command is None:
        st.caption("Nothing to run, see above.")
    if failure := st.session_state.pop("failure", ""):
        st.error(labels.escaped(failure))
    if run is None:
        return
    if command is None or st.session_state["command"] != command.cm:
        st.caption("The run below was started with other choices:")
        st.code(st.session_state["command"], language="bash", wrap_lines=True)
    if run.running:
        watch()
    else:
        draw_run_result(script, run)


def start(command: Command | None, settings: Settings) -> None:
    """Start a run, unless running is disabled or one is running already."""
    run: process.Run | None = st.session_state.get("run")
    if command is None or settings.no_run or (run is not None and run.running):
        return
    try:
        st.session_state["run"] = process.Run(command.arguments, settings.prefix)
        st.session_state["command"] = command.cm
    except process.NotStarted as error:
        st.session_state["failure"] = str(error)


@st.fragment(run_every=0.5)
def watch() -> None:
    """Draw the current run, twice a second, until it ends."""
    run: process.Run = st.session_state["run"]
    if not run.running:
        st.rerun()
    progress = run.progress
    st.progress(progress or 0.0, text="Running" + ("" if progress is None else f", {progress:.0%}"))
    st.button("Stop", on_click=run.stop)
    draw_log(run.log[-8000:])


def draw_run_result(script: scripts.Script, run: process.Run) -> None:
    """Draw the result of a run."""
    duration = f"{run.seconds or 0:.1f} s"
    if run.stopped:
        st.warning(f"Stopped after {duration}.")
    elif run.code == 0:
        st.success(f"Done in {duration}.")
    else:
        st.error(f"Failed after {duration}, with exit code {run.code}.")
        if run.error:
            st.code(run.error, language=None, wrap_lines=True)
    first = list(script.meta.get("print_env_at_the_end") or {})
    exported = process.in_order(run.new_env, first)
    for key, value in exported[: len(first)]:
        if key in first:
            st.markdown(f"**{labels.escaped(key)}**")
            st.code(value, language=None, wrap_lines=True)
    if exported:
        with st.expander(f"Exported variables ({len(exported)})"):
            lines = "\n".join(f"{key}={value}" for key, value in exported)
            st.code(lines, language=None, wrap_lines=True)
    with st.expander("Log", expanded=run.code != 0):
        draw_log(run.log)


def draw_log(text: str) -> None:
    """Draw a log, scrolled to its end."""
    with st.container(height=LOG_HEIGHT, border=False, autoscroll=True):
        st.code(text or " ", language=None, wrap_lines=True)


main()
