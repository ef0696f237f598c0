// The judge: evaluates JSONata as AWS documents it (jsonata 2.0.6) with the functions that Step Functions adds.
//
//   node evaluate.cjs <folder with node_modules>     one question a line on stdin, one answer a line on stdout
//
//   {"text", "bindings", "millis", "draws"} -> {"value" | "undefined" | "function" | "error": code, "message",
//                                               "depth": deepest count of entries and exits}
//
// Bounds are AWS's: depth 100 as the library's own counter of entries and exits has it, and a number of steps in
// place of seconds.
"use strict";
const crypto = require("crypto");
const path = require("path");
const readline = require("readline");
const jsonata = require(path.join(process.argv[2], "node_modules", "jsonata"));

const MAX_DEPTH = 100;
const MAX_STEPS = 2000000;
const HASHES = { "MD5": "md5", "SHA-1": "sha1", "SHA-256": "sha256", "SHA-384": "sha384", "SHA-512": "sha512" };
const ENTRY = Symbol.for("jsonata.__evaluate_entry");
const EXIT = Symbol.for("jsonata.__evaluate_exit");

// JSON.parse keeps the last of two members with one name; AWS refuses them.
function refuseRepeatedKeys(text) {
    const token = /"(?:[^"\\]|\\.)*"|[{}[\],:]/g;
    const open = [];
    for (let found; (found = token.exec(text)) !== null;) {
        const top = open[open.length - 1];
        if (found[0] === "{") open.push(new Set());
        else if (found[0] === "[") open.push(null);
        else if (found[0] === "}" || found[0] === "]") open.pop();
        else if (found[0][0] === '"' && top && /^\s*:/.test(text.slice(token.lastIndex))) {
            const key = JSON.parse(found[0]);
            if (top.has(key)) throw { code: "D3137", message: "$parse: duplicate key " + key };
            top.add(key);
        }
    }
}

function parse(text) {
    if (text === undefined) return undefined;
    let value;
    try {
        value = JSON.parse(text);
    } catch (error) {
        throw { code: "D3137", message: "$parse: " + error.message };
    }
    refuseRepeatedKeys(text);
    return value;
}

function partition(array, size) {
    if (array === undefined || size === undefined || array.length === 0) return undefined;
    const chunk = Math.trunc(size);
    if (chunk < 1) throw { code: "D3137", message: "$partition: a size below 1" };
    const parts = [];
    for (let start = 0; start < array.length; start += chunk) parts.push(array.slice(start, start + chunk));
    return parts;
}

function range(start, end, step) {
    if (start === undefined || end === undefined || step === undefined) return undefined;
    const [first, last, by] = [start, end, step].map(Math.trunc);
    if (by === 0) return undefined;
    const numbers = [];
    for (let each = first; by > 0 ? each <= last : each >= last; each += by) numbers.push(each);
    return numbers.length > 1 ? numbers : numbers[0];
}

// What is drawn is not predictable across languages: the question brings what was drawn.
function register(expression, state) {
    const own = (name, body, signature) => expression.registerFunction(name, body, signature);
    own("parse", parse, "<s-:x>");
    own("hash", (text, algorithm) => {
        if (text === undefined || algorithm === undefined) return undefined;
        if (!(algorithm in HASHES)) throw { code: "D3137", message: "$hash: unknown algorithm" };
        return crypto.createHash(HASHES[algorithm]).update(text, "utf8").digest("hex");
    }, "<s-s?:s>");
    own("partition", partition, "<an?:a>");
    own("range", range, "<nnn?:a>");
    own("uuid", () => state.draw(), "<:s>");
    own("random", (seed) => seed === undefined ? state.draw() : javaRandom(seed), "<n?:n>");
    own("millis", () => state.millis, "<:n>");
    own("now", function (picture, zone) {
        return this.environment.lookup("fromMillis").implementation.call(this, state.millis, picture, zone);
    }, "<s?s?:s>");
    expression.assign("eval", undefined);
    expression.assign(ENTRY, () => state.entered());
    expression.assign(EXIT, () => { state.depth -= 1; });
}

// java.util.Random(seed).nextDouble(), which gives what AWS was seen to give: $random(42) = 0.7275636800328681.
function javaRandom(seed) {
    const mask = (1n << 48n) - 1n;
    let state = (BigInt(Math.trunc(seed)) ^ 0x5DEECE66Dn) & mask;
    const next = (bits) => {
        state = (state * 0x5DEECE66Dn + 0xBn) & mask;
        return state >> BigInt(48 - bits);
    };
    return Number((next(26) << 27n) + next(27)) / 2 ** 53;
}

class State {
    reset(question) {
        this.millis = question.millis ?? 0;
        this.draws = question.draws ?? [];
        this.depth = this.deepest = this.steps = 0;
    }

    draw() {
        if (this.draws.length === 0) throw { code: "NO_DRAW", message: "more was drawn than was recorded" };
        return this.draws.shift();
    }

    entered() {
        this.depth += 1;
        this.steps += 1;
        this.deepest = Math.max(this.deepest, this.depth);
        if (this.depth > MAX_DEPTH) throw { code: "U1001", message: "Stack overflow error" };
        if (this.steps > MAX_STEPS) throw { code: "U1001", message: "Expression evaluation timeout" };
    }
}

function holds(value, test) {
    if (test(value)) return true;
    if (value === null || typeof value !== "object") return false;
    return Object.values(value).some((each) => holds(each, test));
}

const isFunction = (value) => typeof value === "function" || value instanceof RegExp
    || (value !== null && typeof value === "object" && (value._jsonata_lambda || value._jsonata_function));
const isEndless = (value) => typeof value === "number" && !Number.isFinite(value);

const known = new Map();
const state = new State();

async function answer(question) {
    state.reset(question);
    try {
        let expression = known.get(question.text);
        if (expression === undefined) {
            expression = jsonata(question.text);
            register(expression, state);
            known.set(question.text, expression);
        }
        const value = await expression.evaluate(undefined, question.bindings);
        const depth = state.deepest;
        if (value === undefined) return { undefined: true, depth };
        if (holds(value, isFunction)) return { function: true, depth };
        if (holds(value, isEndless)) return { error: "D1001", message: "Number out of range", depth };
        return { value, depth };
    } catch (error) {
        return { error: error.code ?? "?", message: String(error.message ?? error), depth: state.deepest };
    }
}

(async () => {
    for await (const line of readline.createInterface({ input: process.stdin, crlfDelay: Infinity })) {
        process.stdout.write(JSON.stringify(await answer(JSON.parse(line))) + "\n");
    }
})();
