/**
 * Kubernetes quantities: `1`, `0.5`, `100m`, `128Mi`, `1e9`.
 * Exact: a quantity is a whole number of thousand-millionths, the smallest unit that Kubernetes keeps.
 * https://kubernetes.io/docs/reference/kubernetes-api/common-definitions/quantity/
 */

const QUANTITY = /^([+-]?)(\d+\.?\d*|\.\d+)([KMGTPE]i|[numkMGTPE]|[eE][+-]?\d+)?$/;

const BINARY: Readonly<Record<string, number>> = { Ki: 10, Mi: 20, Gi: 30, Ti: 40, Pi: 50, Ei: 60 };
const DECIMAL: Readonly<Record<string, number>> = {
  n: -9,
  u: -6,
  m: -3,
  "": 0,
  k: 3,
  M: 6,
  G: 9,
  T: 12,
  P: 15,
  E: 18,
};

const NANO_DIGITS = 9;
const NANOS_PER_UNIT = 10n ** BigInt(NANO_DIGITS);
/** Kubernetes caps quantities at 2^63 - 1; far larger exponents would only cost memory. */
const MAX_EXPONENT = 30;
const MAX_LENGTH = 64;

/** A text that is no quantity. */
export class QuantityError extends Error {
  override readonly name = "QuantityError";
  readonly code = "QUANTITY_INVALID";

  constructor(text: string) {
    super(
      `"${text.slice(0, MAX_LENGTH)}" is no quantity: write a number with an optional suffix, e.g. 500m or 128Mi`,
    );
  }
}

/**
 * The quantity in thousand-millionths, rounded away from zero as Kubernetes does.
 * @throws QuantityError
 */
export function quantityNanos(quantity: string | number): bigint {
  const text = String(quantity);
  const match = text.length <= MAX_LENGTH ? QUANTITY.exec(text) : null;
  if (match === null) throw new QuantityError(text);
  const [, sign = "", digits = "", suffix = ""] = match;
  const [whole = "", fraction = ""] = digits.split(".");
  const { exponent, shift } = scaleOf(suffix);
  if (Math.abs(exponent) > MAX_EXPONENT) throw new QuantityError(text);

  const mantissa = BigInt(`${whole}${fraction}` || "0") << BigInt(shift);
  const power = NANO_DIGITS + exponent - fraction.length;
  const nanos = power >= 0 ? mantissa * 10n ** BigInt(power) : divideUp(mantissa, 10n ** BigInt(-power));
  return sign === "-" ? -nanos : nanos;
}

/**
 * The quantity as a number: exact for whole numbers up to 2^53, so for every amount of bytes below 8 PiB.
 * @throws QuantityError
 */
export function parseQuantity(quantity: string | number): number {
  const nanos = quantityNanos(quantity);
  const whole = nanos / NANOS_PER_UNIT;
  return Number(whole) + Number(nanos % NANOS_PER_UNIT) / Number(NANOS_PER_UNIT);
}

/**
 * Less than zero when `a` is smaller than `b`, zero when they are equal, however they are written.
 * @throws QuantityError
 */
export function compareQuantities(a: string | number, b: string | number): number {
  const difference = quantityNanos(a) - quantityNanos(b);
  return difference < 0n ? -1 : difference > 0n ? 1 : 0;
}

/** Bytes in Kubernetes' canonical form: the largest binary suffix that leaves a whole number. */
export function formatBytes(bytes: number): string {
  if (!Number.isSafeInteger(bytes) || bytes < 0) throw new RangeError(`${bytes} is no amount of bytes`);
  let suffix = "";
  let amount = bytes;
  for (const next of Object.keys(BINARY)) {
    if (amount === 0 || amount % 1024 !== 0) break;
    amount /= 1024;
    suffix = next;
  }
  return `${amount}${suffix}`;
}

function scaleOf(suffix: string): { readonly exponent: number; readonly shift: number } {
  const shift = BINARY[suffix];
  if (shift !== undefined) return { exponent: 0, shift };
  const exponent = DECIMAL[suffix] ?? Number.parseInt(suffix.slice(1), 10);
  return { exponent, shift: 0 };
}

function divideUp(dividend: bigint, divisor: bigint): bigint {
  return (dividend + divisor - 1n) / divisor;
}
