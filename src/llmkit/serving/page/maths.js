// TeX to MathML: the part of it that answers are made of. A formula with anything else is shown as its source, whole.

const MATHML = "http://www.w3.org/1998/Math/MathML";
const DEEPEST = 60; // nested groups
const LONGEST = 4_000; // characters of a formula

class Unknown extends Error {}

const pairs = (text) => Object.fromEntries(text.trim().split(/\s+/).map((pair) => pair.split("=")));

const LETTERS = pairs(`alpha=α beta=β gamma=γ delta=δ epsilon=ϵ varepsilon=ε zeta=ζ eta=η theta=θ vartheta=ϑ iota=ι kappa=κ
  lambda=λ mu=μ nu=ν xi=ξ pi=π varpi=ϖ rho=ρ varrho=ϱ sigma=σ varsigma=ς tau=τ upsilon=υ phi=ϕ varphi=φ chi=χ psi=ψ omega=ω
  Gamma=Γ Delta=Δ Theta=Θ Lambda=Λ Xi=Ξ Pi=Π Sigma=Σ Upsilon=Υ Phi=Φ Psi=Ψ Omega=Ω infty=∞ partial=∂ nabla=∇ ell=ℓ hbar=ℏ
  emptyset=∅ varnothing=∅ Re=ℜ Im=ℑ aleph=ℵ top=⊤ bot=⊥ dots=… ldots=… cdots=⋯ vdots=⋮ ddots=⋱ prime=′ degree=°`);
const OPERATORS = pairs(`times=× cdot=⋅ div=÷ pm=± mp=∓ ast=∗ star=⋆ circ=∘ bullet=∙ oplus=⊕ otimes=⊗ odot=⊙ le=≤ leq=≤ ge=≥
  geq=≥ ne=≠ neq=≠ ll=≪ gg=≫ approx=≈ equiv=≡ sim=∼ simeq=≃ cong=≅ propto=∝ in=∈ notin=∉ ni=∋ subset=⊂ subseteq=⊆ supset=⊃
  supseteq=⊇ cup=∪ cap=∩ setminus=∖ land=∧ wedge=∧ lor=∨ vee=∨ neg=¬ lnot=¬ forall=∀ exists=∃ to=→ rightarrow=→ leftarrow=←
  gets=← leftrightarrow=↔ Rightarrow=⇒ Leftarrow=⇐ Leftrightarrow=⇔ implies=⟹ iff=⟺ mapsto=↦ longrightarrow=⟶ uparrow=↑
  downarrow=↓ mid=∣ parallel=∥ perp=⊥ therefore=∴ because=∵ langle=⟨ rangle=⟩ lfloor=⌊ rfloor=⌋ lceil=⌈ rceil=⌉ lvert=|
  rvert=| vert=| Vert=‖ lVert=‖ rVert=‖ lbrace={ rbrace=} colon=: backslash=∖`);
const LARGE = pairs("sum=∑ prod=∏ coprod=∐ int=∫ iint=∬ iiint=∭ oint=∮ bigcup=⋃ bigcap=⋂ bigoplus=⨁ bigotimes=⨂");
const FUNCTIONS = new Set(
  "sin cos tan cot sec csc arcsin arccos arctan sinh cosh tanh log ln lg exp det dim ker deg gcd arg hom Pr".split(" "),
);
const LIMITS = new Set("lim max min sup inf argmax argmin limsup liminf".split(" "));
const ACCENTS = pairs("hat=^ widehat=^ bar=¯ overline=¯ vec=→ dot=˙ ddot=¨ tilde=~ widetilde=~ check=ˇ overrightarrow=→ overbrace=⏞");
const FONTS = { mathrm: "normal", operatorname: "normal", mathbf: "bold", boldsymbol: "bold-italic", bm: "bold-italic",
  mathbb: "double-struck", mathcal: "script", mathscr: "script", mathfrak: "fraktur", mathsf: "sans-serif", mathtt: "monospace",
  mathit: "italic" };
const SPACES = { ",": 0.167, ":": 0.222, ";": 0.278, "!": -0.167, " ": 0.25, quad: 1, qquad: 2 };
const SIZES = new Set("displaystyle textstyle scriptstyle limits nolimits nonumber notag".split(" "));
const BIG = /^(?:big|Big|bigg|Bigg)[lrm]?$/;
const MATRICES = { matrix: ["", ""], pmatrix: ["(", ")"], bmatrix: ["[", "]"], Bmatrix: ["{", "}"], vmatrix: ["|", "|"],
  Vmatrix: ["‖", "‖"], smallmatrix: ["", ""], cases: ["{", ""], aligned: ["", ""], align: ["", ""], "align*": ["", ""],
  gathered: ["", ""], gather: ["", ""], "gather*": ["", ""], split: ["", ""], array: ["", ""] };

/** First letters of the alphabets of Unicode: capitals, small letters, digits. Letters that lie elsewhere are named. */
const ALPHABETS = {
  bold: [0x1d400, 0x1d41a, 0x1d7ce], "bold-italic": [0x1d468, 0x1d482, 0x1d7ce], "double-struck": [0x1d538, 0x1d552, 0x1d7d8],
  script: [0x1d49c, 0x1d4b6], fraktur: [0x1d504, 0x1d51e], "sans-serif": [0x1d5a0, 0x1d5ba, 0x1d7e2], monospace: [0x1d670, 0x1d68a, 0x1d7f6],
};
const ELSEWHERE = {
  "double-struck": pairs("C=ℂ H=ℍ N=ℕ P=ℙ Q=ℚ R=ℝ Z=ℤ"),
  script: pairs("B=ℬ E=ℰ F=ℱ H=ℋ I=ℐ L=ℒ M=ℳ R=ℛ e=ℯ g=ℊ o=ℴ"),
  fraktur: pairs("C=ℭ H=ℌ I=ℑ R=ℜ Z=ℨ"),
};

function inAlphabet(letter, font) {
  const starts = ALPHABETS[font];
  if (!starts) return letter;
  if (ELSEWHERE[font]?.[letter]) return ELSEWHERE[font][letter];
  for (const [i, [first, last]] of [["A", "Z"], ["a", "z"], ["0", "9"]].entries()) {
    if (letter >= first && letter <= last && starts[i]) return String.fromCodePoint(starts[i] + letter.charCodeAt(0) - first.charCodeAt(0));
  }
  return letter;
}

function m(tag, ...children) {
  const node = document.createElementNS(MATHML, tag);
  node.append(...children);
  return node;
}

function set(node, attributes) {
  for (const [name, value] of Object.entries(attributes)) node.setAttribute(name, value);
  return node;
}

const row = (nodes) => (nodes.length === 1 ? nodes[0] : m("mrow", ...nodes));
const fence = (text) => set(m("mo", text), { stretchy: "true", fence: "true" });

class Formula {
  constructor(source) {
    this.parts = source.match(/\\(?:[A-Za-z]+|[\s\S])|\d+(?:\.\d+)?|\s+|[\s\S]/gu) ?? [];
    this.at = 0;
    this.depth = 0;
    this.font = "";
  }

  next() {
    while (this.at < this.parts.length && /^\s+$/.test(this.parts[this.at])) this.at += 1;
    return this.parts[this.at];
  }

  take(expected) {
    const part = this.next();
    if (part === undefined || (expected !== undefined && part !== expected)) throw new Unknown(expected);
    this.at += 1;
    return part;
  }

  /** Nodes up to one of the ends, which is left where it is. */
  until(...ends) {
    if ((this.depth += 1) > DEEPEST) throw new Unknown("depth");
    const nodes = [];
    for (let part = this.next(); !ends.includes(part); part = this.next()) {
      if (part === undefined || part === "}" || part === "&" || part === "\\\\") throw new Unknown(part);
      const node = this.scripted();
      if (node) nodes.push(node);
    }
    this.depth -= 1;
    return nodes;
  }

  /** One atom with what stands below and above it. */
  scripted() {
    const atom = "^_".includes(this.next()) ? m("mrow") : this.atom();
    const found = {};
    for (let part = this.next(); part === "^" || part === "_" || part === "'"; part = this.next()) {
      if (part === "'") {
        let primes = "";
        while (this.next() === "'") primes += (this.at += 1) && "′";
        found["^"] = m("mo", primes);
        continue;
      }
      if (found[part]) throw new Unknown("a second script");
      this.at += 1;
      found[part] = this.argument();
    }
    const { "_": below, "^": above } = found;
    if (!below && !above) return atom;
    const base = atom ?? m("mrow");
    const over = base.limits;
    if (below && above) return m(over ? "munderover" : "msubsup", base, below, above);
    return below ? m(over ? "munder" : "msub", base, below) : m(over ? "mover" : "msup", base, above);
  }

  argument() {
    if (this.next() !== "{") {
      const digits = this.next();
      if (/^\d\d/.test(digits ?? "")) {
        // TeX takes one digit: x^12 is x to the 1, and a 2.
        this.parts.splice(this.at, 1, ...digits);
      }
      return this.atom() ?? m("mrow");
    }
    this.take("{");
    const nodes = this.until("}");
    this.take("}");
    return row(nodes);
  }

  /** The words of `\text{...}` as they are. */
  text() {
    this.take("{");
    let text = "";
    for (let depth = 0; ; this.at += 1) {
      const part = this.parts[this.at];
      if (part === undefined || part.startsWith("$")) throw new Unknown("text");
      if (part === "}" && depth === 0) break;
      depth += part === "{" ? 1 : part === "}" ? -1 : 0;
      if (part !== "{" && part !== "}") text += part.startsWith("\\") ? this.escaped(part) : part;
    }
    this.take("}");
    return text;
  }

  escaped(part) {
    if (/^\\[%$#&_{} ]$/.test(part)) return part[1];
    throw new Unknown(part);
  }

  atom() {
    const part = this.take();
    if (part === "{") {
      const nodes = this.until("}");
      this.take("}");
      return row(nodes);
    }
    if (part.startsWith("\\")) return this.command(part.slice(1));
    if (/^\d/.test(part)) return m("mn", [...part].map((one) => inAlphabet(one, this.font)).join(""));
    if (/^\p{L}$/u.test(part)) return this.letter(part);
    if (part === "~") return this.space(0.25);
    if ("$#%".includes(part)) throw new Unknown(part);
    const sign = m("mo", { "-": "−", "*": "∗" }[part] ?? part);
    return "()[]|/".includes(part) ? set(sign, { stretchy: "false" }) : sign;
  }

  letter(part) {
    const node = m("mi", inAlphabet(part, this.font));
    return this.font === "normal" ? set(node, { mathvariant: "normal" }) : node;
  }

  space(em) {
    return set(m("mspace"), { width: `${em}em` });
  }

  command(name) {
    if (Object.hasOwn(LETTERS, name)) return m("mi", LETTERS[name]);
    if (Object.hasOwn(OPERATORS, name)) return set(m("mo", OPERATORS[name]), { stretchy: "false" });
    if (Object.hasOwn(LARGE, name)) return this.large(m("mo", LARGE[name]), !name.includes("int"));
    if (FUNCTIONS.has(name)) return m("mi", name);
    if (LIMITS.has(name)) return this.large(m("mo", name.replace(/^(lim|arg)(?=...)/, "$1 ")), true);
    if (Object.hasOwn(SPACES, name)) return this.space(SPACES[name]);
    if (SIZES.has(name)) return null;
    if (/^[%$#&_{}]$/.test(name)) return m("mo", name);
    if (name === "|") return m("mo", "‖");
    if (BIG.test(name)) return m("mo", this.delimiter());
    if (Object.hasOwn(ACCENTS, name)) return set(m("mover", this.argument(), m("mo", ACCENTS[name])), { accent: "true" });
    if (name === "underline") return m("munder", this.argument(), m("mo", "_"));
    if (Object.hasOwn(FONTS, name)) return this.inFont(name);
    if (name === "text" || name === "textbf" || name === "textit" || name === "mbox") return m("mtext", this.text().replaceAll(" ", "\u00a0"));
    return this.structure(name);
  }

  large(node, limits) {
    node.limits = limits;
    return node;
  }

  inFont(name) {
    if (name === "mathrm" || name === "operatorname") return set(m("mi", this.text()), { mathvariant: "normal" });
    const before = this.font;
    this.font = FONTS[name];
    const node = this.argument();
    this.font = before;
    return node;
  }

  structure(name) {
    if (["frac", "dfrac", "tfrac", "cfrac"].includes(name)) return m("mfrac", this.argument(), this.argument());
    if (["binom", "dbinom", "tbinom"].includes(name)) {
      const stack = set(m("mfrac", this.argument(), this.argument()), { linethickness: "0" });
      return m("mrow", fence("("), stack, fence(")"));
    }
    if (name === "sqrt") return this.root();
    if (name === "left") return this.fenced();
    if (name === "begin") return this.table();
    if (name === "boxed") return set(m("mrow", this.argument()), { class: "boxed" });
    if (name === "pmod") return m("mrow", this.space(0.5), m("mtext", "(mod\u00a0"), this.argument(), m("mtext", ")"));
    if (name === "bmod" || name === "mod") return m("mo", "mod");
    throw new Unknown(name);
  }

  root() {
    if (this.next() !== "[") return m("msqrt", this.argument());
    this.take("[");
    const degree = row(this.until("]"));
    this.take("]");
    return m("mroot", this.argument(), degree);
  }

  delimiter() {
    const part = this.take();
    if (part === ".") return "";
    if (/^[()[\]|/<>]$/.test(part)) return { "<": "⟨", ">": "⟩" }[part] ?? part;
    const name = part.slice(1);
    if (part === "\\{" || part === "\\}") return name;
    if (part === "\\|") return "‖";
    if (part.startsWith("\\") && Object.hasOwn(OPERATORS, name)) return OPERATORS[name];
    throw new Unknown(part);
  }

  fenced() {
    const nodes = [fence(this.delimiter())];
    for (;;) {
      nodes.push(...this.until("\\right", "\\middle"));
      const end = this.take();
      nodes.push(fence(this.delimiter()));
      if (end === "\\right") return m("mrow", ...nodes);
    }
  }

  table() {
    const name = this.text();
    const [open, close] = MATRICES[Object.hasOwn(MATRICES, name) ? name : ""] ?? [];
    if (open === undefined) throw new Unknown(name);
    if (name === "array") this.text();
    const rows = [[]];
    for (;;) {
      rows.at(-1).push(m("mtd", ...this.until("&", "\\\\", "\\end")));
      const end = this.take();
      if (end === "\\\\") rows.push([]);
      if (end === "\\end") break;
    }
    if (this.text() !== name) throw new Unknown("end");
    if (rows.at(-1).length === 1 && !rows.at(-1)[0].hasChildNodes()) rows.pop();
    const table = m("mtable", ...rows.map((cells) => m("mtr", ...cells)));
    if (!/matrix|array/.test(name)) table.setAttribute("class", name === "cases" ? "cases" : name.startsWith("gather") ? "gathered" : "aligned");
    if (!open && !close) return table;
    return m("mrow", ...(open ? [fence(open)] : []), table, ...(close ? [fence(close)] : []));
  }
}

/** The formula as `<math>`, or null where it has something that is not known here. */
export function mathml(source, display) {
  if (source.length > LONGEST) return null;
  try {
    const formula = new Formula(source);
    const math = m("math", ...formula.until(undefined));
    if (display) math.setAttribute("display", "block");
    return math;
  } catch (error) {
    if (error instanceof Unknown) return null;
    throw error;
  }
}
