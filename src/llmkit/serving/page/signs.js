// Signs of TeX and what they are in MathML.

const pairs = (text) =>
  Object.fromEntries(
    text
      .trim()
      .split(/\s+/)
      .map((pair) => pair.split("=")),
  );

export const LETTERS =
  pairs(`alpha=α beta=β gamma=γ delta=δ epsilon=ϵ varepsilon=ε zeta=ζ eta=η theta=θ vartheta=ϑ iota=ι kappa=κ
  lambda=λ mu=μ nu=ν xi=ξ pi=π varpi=ϖ rho=ρ varrho=ϱ sigma=σ varsigma=ς tau=τ upsilon=υ phi=ϕ varphi=φ chi=χ psi=ψ omega=ω
  Gamma=Γ Delta=Δ Theta=Θ Lambda=Λ Xi=Ξ Pi=Π Sigma=Σ Upsilon=Υ Phi=Φ Psi=Ψ Omega=Ω infty=∞ partial=∂ nabla=∇ ell=ℓ hbar=ℏ
  emptyset=∅ varnothing=∅ Re=ℜ Im=ℑ aleph=ℵ top=⊤ bot=⊥ dots=… ldots=… cdots=⋯ vdots=⋮ ddots=⋱ prime=′ degree=°`);
export const OPERATORS =
  pairs(`times=× cdot=⋅ div=÷ pm=± mp=∓ ast=∗ star=⋆ circ=∘ bullet=∙ oplus=⊕ otimes=⊗ odot=⊙ le=≤ leq=≤ ge=≥
  geq=≥ ne=≠ neq=≠ ll=≪ gg=≫ approx=≈ equiv=≡ sim=∼ simeq=≃ cong=≅ propto=∝ in=∈ notin=∉ ni=∋ subset=⊂ subseteq=⊆ supset=⊃
  supseteq=⊇ cup=∪ cap=∩ setminus=∖ land=∧ wedge=∧ lor=∨ vee=∨ neg=¬ lnot=¬ forall=∀ exists=∃ to=→ rightarrow=→ leftarrow=←
  gets=← leftrightarrow=↔ Rightarrow=⇒ Leftarrow=⇐ Leftrightarrow=⇔ implies=⟹ iff=⟺ mapsto=↦ longrightarrow=⟶ uparrow=↑
  downarrow=↓ mid=∣ parallel=∥ perp=⊥ therefore=∴ because=∵ langle=⟨ rangle=⟩ lfloor=⌊ rfloor=⌋ lceil=⌈ rceil=⌉ lvert=|
  rvert=| vert=| Vert=‖ lVert=‖ rVert=‖ lbrace={ rbrace=} colon=: backslash=∖`);
export const LARGE = pairs(
  "sum=∑ prod=∏ coprod=∐ int=∫ iint=∬ iiint=∭ oint=∮ bigcup=⋃ bigcap=⋂ bigoplus=⨁ bigotimes=⨂",
);
export const FUNCTIONS = new Set(
  "sin cos tan cot sec csc arcsin arccos arctan sinh cosh tanh log ln lg exp det dim ker deg gcd arg hom Pr".split(" "),
);
export const LIMITS = new Set("lim max min sup inf argmax argmin limsup liminf".split(" "));
export const ACCENTS = pairs(
  "hat=^ widehat=^ bar=¯ overline=¯ vec=→ dot=˙ ddot=¨ tilde=~ widetilde=~ check=ˇ overrightarrow=→ overbrace=⏞",
);
export const FONTS = {
  mathrm: "normal",
  operatorname: "normal",
  mathbf: "bold",
  boldsymbol: "bold-italic",
  bm: "bold-italic",
  mathbb: "double-struck",
  mathcal: "script",
  mathscr: "script",
  mathfrak: "fraktur",
  mathsf: "sans-serif",
  mathtt: "monospace",
  mathit: "italic",
};
export const SPACES = { ",": 0.167, ":": 0.222, ";": 0.278, "!": -0.167, " ": 0.25, quad: 1, qquad: 2 };
export const SIZES = new Set("displaystyle textstyle scriptstyle limits nolimits nonumber notag".split(" "));
export const BIG = /^(?:big|Big|bigg|Bigg)[lrm]?$/;
export const MATRICES = {
  matrix: ["", ""],
  pmatrix: ["(", ")"],
  bmatrix: ["[", "]"],
  Bmatrix: ["{", "}"],
  vmatrix: ["|", "|"],
  Vmatrix: ["‖", "‖"],
  smallmatrix: ["", ""],
  cases: ["{", ""],
  aligned: ["", ""],
  align: ["", ""],
  "align*": ["", ""],
  gathered: ["", ""],
  gather: ["", ""],
  "gather*": ["", ""],
  split: ["", ""],
  array: ["", ""],
};

/** First letters of the alphabets of Unicode: capitals, small letters, digits. Letters that lie elsewhere are named. */
const ALPHABETS = {
  bold: [0x1d400, 0x1d41a, 0x1d7ce],
  "bold-italic": [0x1d468, 0x1d482, 0x1d7ce],
  "double-struck": [0x1d538, 0x1d552, 0x1d7d8],
  script: [0x1d49c, 0x1d4b6],
  fraktur: [0x1d504, 0x1d51e],
  "sans-serif": [0x1d5a0, 0x1d5ba, 0x1d7e2],
  monospace: [0x1d670, 0x1d68a, 0x1d7f6],
};
const ELSEWHERE = {
  "double-struck": pairs("C=ℂ H=ℍ N=ℕ P=ℙ Q=ℚ R=ℝ Z=ℤ"),
  script: pairs("B=ℬ E=ℰ F=ℱ H=ℋ I=ℐ L=ℒ M=ℳ R=ℛ e=ℯ g=ℊ o=ℴ"),
  fraktur: pairs("C=ℭ H=ℌ I=ℑ R=ℜ Z=ℨ"),
};

/** The letter or digit in this alphabet of Unicode; as it is where the alphabet has none. */
export function inAlphabet(letter, font) {
  const starts = ALPHABETS[font];
  if (!starts) return letter;
  if (ELSEWHERE[font]?.[letter]) return ELSEWHERE[font][letter];
  for (const [i, [first, last]] of [
    ["A", "Z"],
    ["a", "z"],
    ["0", "9"],
  ].entries()) {
    if (letter >= first && letter <= last && starts[i])
      return String.fromCodePoint(starts[i] + letter.charCodeAt(0) - first.charCodeAt(0));
  }
  return letter;
}
