import assert from "node:assert/strict";
import { describe, it } from "node:test";
import fc from "fast-check";
import { XMLParser } from "fast-xml-parser";
import { element, render, XmlError } from "./element.ts";
import { xmlText } from "./spec.fixture.ts";

const parser = new XMLParser({
  ignoreAttributes: false,
  trimValues: false,
  parseTagValue: false,
  htmlEntities: true,
});

describe("XML", () => {
  it("is indented, in the order given, without what is undefined", () => {
    const tree = element("a", { x: 1, y: undefined }, element("b", {}, "text"), undefined, element("c"));
    assert.equal(render(tree), '<a x="1">\n  <b>text</b>\n  <c/>\n</a>\n');
  });

  it("can't be broken out of by text or attribute", () => {
    const hostile = `"/><evil a='`;
    const text = render(element("a", { x: hostile }, hostile));
    assert.equal(text, '<a x="&quot;/&gt;&lt;evil a=&apos;">&quot;/&gt;&lt;evil a=&apos;</a>\n');
  });

  it("gives a parser back what was put in, text and attribute", () => {
    fc.assert(
      fc.property(xmlText, (text) => {
        const parsed = parser.parse(render(element("a", { x: text }, text)));
        assert.deepEqual([parsed.a["@_x"], parsed.a["#text"] ?? ""], [text, text]);
      }),
    );
  });

  it("refuses what it can't hold instead of dropping it", () => {
    for (const text of ["\0", "\u001b", "\ud800", "\uffff"]) {
      assert.throws(() => render(element("a", {}, text)), XmlError);
      assert.throws(() => render(element("a", { x: text })), XmlError);
    }
  });
});
