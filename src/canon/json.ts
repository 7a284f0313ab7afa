/** A value that JSON can carry. `undefined` members are dropped by `JSON.stringify`. */
export type Json = null | boolean | number | string | readonly Json[] | JsonObject;
export interface JsonObject {
  readonly [key: string]: Json | undefined;
}
