"""How the page looks, where Streamlit's own look is not enough."""

from __future__ import annotations

STYLE = """<style>
.block-container {padding-top: 2.5rem; padding-bottom: 3rem; max-width: 76rem;}
code {overflow-wrap: anywhere; white-space: pre-wrap;}
h1 {overflow-wrap: anywhere; font-size: 2rem !important;}
h2 {font-size: 1.6rem !important;}
/* Do not break a line within a flag. */
code .token.parameter {white-space: nowrap;}
/* Long lines of env and log without blanks. */
[data-testid=stExpander] code {font-size: .8rem; word-break: break-all;}
/* Show the copy buttons also without a mouse. */
[data-testid=stCode] > div {opacity: 1 !important; visibility: visible !important;}
[data-testid=stCode] pre {padding-right: 3rem;}
/* A sha256 fits in one line. */
[data-testid=stColumn]:last-child [data-testid=stMarkdown] p {font-size: .9rem;}
/* Streamlit's grey and its colours of code have too little contrast. */
[data-testid=stCaptionContainer], [data-testid=stCaptionContainer] p {color: inherit;}
[data-testid=stCaptionContainer] {opacity: .85;}
code .token {color: inherit !important;}
/* On a narrow screen the result comes first: the file and the button are seen without scrolling. */
@media (max-width: 640px) {
  .block-container {padding-top: 1rem;}
  h1 {font-size: 1.4rem !important;}
  h1, h2 {padding: .5rem 0 .8rem !important;}
  [data-testid=stVerticalBlock] {gap: .6rem;}
  [data-testid=stColumn]:last-child {order: -1;}
  .st-key-run [data-testid=stHeading] {display: none;}
}
/* Keep the result in view next to a long form. */
@media (min-width: 641px) {
  [data-testid=stColumn]:last-child {
    align-self: flex-start; position: sticky; top: 1rem;
    max-height: calc(100vh - 2rem); overflow-y: auto; padding: 0 .25rem .25rem;
  }
}
</style>"""
