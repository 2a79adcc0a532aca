import type { StatusCause } from "../errors.ts";

/** A refusal, thrown inside the fake and answered as a Status. */
export class Refusal extends Error {
  readonly statusCode: number;
  readonly reason: string;
  readonly causes: readonly StatusCause[];

  constructor(statusCode: number, reason: string, message: string, causes: readonly StatusCause[] = []) {
    super(message);
    this.statusCode = statusCode;
    this.reason = reason;
    this.causes = causes;
  }

  toStatus(): object {
    return {
      kind: "Status",
      apiVersion: "v1",
      metadata: {},
      status: "Failure",
      message: this.message,
      reason: this.reason,
      ...(this.causes.length > 0 && { details: { causes: this.causes } }),
      code: this.statusCode,
    };
  }
}

export const notFound = (what: string) => new Refusal(404, "NotFound", `${what} not found`);
export const conflict = (what: string, why: string) =>
  new Refusal(409, "Conflict", `Operation cannot be fulfilled on ${what}: ${why}`);
export const alreadyExists = (what: string) => new Refusal(409, "AlreadyExists", `${what} already exists`);
export const expired = (message: string) => new Refusal(410, "Expired", message);
export const badRequest = (message: string) => new Refusal(400, "BadRequest", message);
export const invalid = (what: string, field: string, message: string) =>
  new Refusal(422, "Invalid", `${what} is invalid: ${field}: ${message}`, [
    { reason: "FieldValueInvalid", field, message },
  ]);
