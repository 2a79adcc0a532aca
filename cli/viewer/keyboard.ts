/** Keys of a browser's keyboard for RFB: scan codes by place, keysyms by what is written on them. Pure. */

/**
 * Scan codes of the XT keyboard by KeyboardEvent.code (UI Events, 3.1), in the order of the rows; 0x80 stands for the
 * prefix 0xe0.
 */
const ROWS: readonly (readonly [firstScanCode: number, codes: string])[] = [
  [
    0x01,
    "Escape Digit1 Digit2 Digit3 Digit4 Digit5 Digit6 Digit7 Digit8 Digit9 Digit0 Minus Equal Backspace",
  ],
  [0x0f, "Tab KeyQ KeyW KeyE KeyR KeyT KeyY KeyU KeyI KeyO KeyP BracketLeft BracketRight Enter ControlLeft"],
  [0x1e, "KeyA KeyS KeyD KeyF KeyG KeyH KeyJ KeyK KeyL Semicolon Quote Backquote ShiftLeft Backslash"],
  [0x2c, "KeyZ KeyX KeyC KeyV KeyB KeyN KeyM Comma Period Slash ShiftRight NumpadMultiply AltLeft Space"],
  [0x3a, "CapsLock F1 F2 F3 F4 F5 F6 F7 F8 F9 F10 NumLock ScrollLock Numpad7 Numpad8 Numpad9"],
  [0x4a, "NumpadSubtract Numpad4 Numpad5 Numpad6 NumpadAdd Numpad1 Numpad2 Numpad3 Numpad0 NumpadDecimal"],
  [0x56, "IntlBackslash F11 F12"],
  [0x70, "KanaMode"],
  [0x73, "IntlRo"],
  [0x79, "Convert"],
  [0x7b, "NonConvert"],
  [0x7d, "IntlYen"],
  [0x9c, "NumpadEnter ControlRight"],
  [0xb5, "NumpadDivide"],
  [0xb7, "PrintScreen AltRight"],
  [0xc6, "Pause Home ArrowUp PageUp"],
  [0xcb, "ArrowLeft"],
  [0xcd, "ArrowRight"],
  [0xcf, "End ArrowDown PageDown Insert Delete"],
  [0xdb, "MetaLeft MetaRight ContextMenu"],
];

const SCAN_CODES: ReadonlyMap<string, number> = new Map(
  ROWS.flatMap(([first, codes]) => codes.split(" ").map((code, at) => [code, first + at] as const)),
);

/** 0 for a key that an XT keyboard doesn't have. */
export function scanCodeOf(code: string): number {
  return SCAN_CODES.get(code) ?? 0;
}

/** X11's keysyms (RFC 6143, 7.5.4) by KeyboardEvent.key. */
const KEYSYMS: Readonly<Record<string, number>> = {
  Backspace: 0xff08,
  Tab: 0xff09,
  Enter: 0xff0d,
  Pause: 0xff13,
  ScrollLock: 0xff14,
  Escape: 0xff1b,
  Home: 0xff50,
  ArrowLeft: 0xff51,
  ArrowUp: 0xff52,
  ArrowRight: 0xff53,
  ArrowDown: 0xff54,
  PageUp: 0xff55,
  PageDown: 0xff56,
  End: 0xff57,
  PrintScreen: 0xff61,
  Insert: 0xff63,
  ContextMenu: 0xff67,
  NumLock: 0xff7f,
  Shift: 0xffe1,
  Control: 0xffe3,
  CapsLock: 0xffe5,
  Meta: 0xffeb,
  Alt: 0xffe9,
  AltGraph: 0xfe03,
  Delete: 0xffff,
};

/** 0 where there is none: a dead key, a key of the browser's own. */
export function keysymOf(key: string): number {
  const named = KEYSYMS[key];
  if (named !== undefined) return named;
  const functionKey = /^F(\d{1,2})$/.exec(key)?.[1];
  if (functionKey !== undefined) return 0xffbd + Number(functionKey);
  const character = [...key];
  const codePoint = character[0]?.codePointAt(0);
  if (character.length !== 1 || codePoint === undefined) return 0;
  // Latin 1 is its own keysym; everything else has a bit more.
  return codePoint < 0x100 ? codePoint : 0x0100_0000 + codePoint;
}
