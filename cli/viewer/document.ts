/** The page that shows a guest's screen. Pure. */

const STYLE = `
:root { color-scheme: dark; --ground: #14171c; --bar: #1c2129; --line: #2c333e; --text: #d8dee9; --dim: #8b95a5;
  --good: #4cc38a; --wait: #f2b84b; --bad: #ef6a6a; }
* { box-sizing: border-box; }
html, body { height: 100%; margin: 0; }
body { display: grid; grid-template-rows: auto 1fr; background: var(--ground); color: var(--text);
  font: 14px/1.4 system-ui, "Segoe UI", Roboto, "Liberation Sans", sans-serif; overflow: hidden; }
header { display: flex; align-items: center; gap: 12px; padding: 7px 12px; background: var(--bar);
  border-bottom: 1px solid var(--line); user-select: none; }
#dot { width: 10px; height: 10px; border-radius: 50%; background: var(--wait); flex: none; }
body[data-state="connected"] #dot { background: var(--good); }
body[data-state="lost"] #dot, body[data-state="over"] #dot { background: var(--bad); }
h1 { font-size: 14px; font-weight: 600; margin: 0; white-space: nowrap; overflow: hidden; text-overflow: ellipsis; }
#told { color: var(--dim); white-space: nowrap; overflow: hidden; text-overflow: ellipsis; flex: 1; }
button { font: inherit; color: var(--text); background: transparent; border: 1px solid var(--line);
  border-radius: 6px; padding: 3px 10px; cursor: pointer; white-space: nowrap; }
button:hover { background: var(--line); }
button:focus-visible { outline: 2px solid #6aa3ff; outline-offset: 1px; }
canvas:focus { outline: none; box-shadow: 0 4px 24px rgb(0 0 0 / 50%), 0 0 0 1px #3f5f94; }
button[aria-pressed="true"] { background: var(--line); }
main { position: relative; display: grid; place-items: center; overflow: auto; padding: 12px; min-height: 0; }
canvas { background: #000; box-shadow: 0 4px 24px rgb(0 0 0 / 50%); border-radius: 3px; }
body[data-fit="true"] main { overflow: hidden; }
body[data-state]:not([data-state="connected"]) canvas { opacity: 0.35; filter: grayscale(1); }
#notice { position: absolute; inset: 0; display: grid; place-items: center; pointer-events: none; }
#notice p { max-width: 34em; margin: 1em; padding: 14px 20px; background: var(--bar); border: 1px solid var(--line);
  border-radius: 10px; text-align: center; }
#notice[hidden] { display: none; }
`;

/** @param nonce of the page's content security policy */
export function viewerDocument(title: string, nonce: string): string {
  const name = escaped(title);
  return `<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width">
<meta name="referrer" content="no-referrer">
<link rel="icon" href="data:,">
<title>${name}</title>
<style nonce="${nonce}">${STYLE}</style>
</head>
<body data-state="connecting" data-fit="true">
<header>
<span id="dot"></span>
<h1>${name}</h1>
<span id="told" role="status">connecting</span>
<button id="restart-keys" title="Send Ctrl+Alt+Delete to the guest">Ctrl Alt Del</button>
<button id="fit" aria-pressed="true" title="Fit the guest's screen into the window">Fit</button>
<button id="full" title="Fill the whole screen">Full screen</button>
</header>
<main><canvas id="screen" tabindex="0" width="720" height="400" aria-label="The guest's screen"></canvas>
<div id="notice"><p>Connecting to ${name} …</p></div></main>
<script type="module" nonce="${nonce}" src="viewer.js"></script>
</body>
</html>
`;
}

function escaped(text: string): string {
  return text.replace(/[&<>"']/g, (character) => `&#${character.charCodeAt(0)};`);
}
