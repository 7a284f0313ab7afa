/** A value of OTLP in JSON: 64-bit integers are decimal texts. Source: opentelemetry-proto, common.proto, in proto3's JSON mapping. */
export type AnyValue =
  | { readonly stringValue: string }
  | { readonly intValue: string }
  | { readonly doubleValue: number }
  | { readonly boolValue: boolean }
  | { readonly arrayValue: { readonly values: readonly AnyValue[] } };

export interface Attribute {
  readonly key: string;
  readonly value: AnyValue;
}

/** Attributes in the order in which they were added; what is undefined is left out. */
export class Attributes {
  readonly list: Attribute[] = [];

  text(key: string, value: string | undefined): this {
    if (value !== undefined) this.list.push({ key, value: { stringValue: value } });
    return this;
  }
  whole(key: string, value: number | undefined): this {
    if (value !== undefined) this.list.push({ key, value: { intValue: String(Math.round(value)) } });
    return this;
  }
  number(key: string, value: number | undefined): this {
    if (value !== undefined) this.list.push({ key, value: { doubleValue: value } });
    return this;
  }
  /** Only where it is so. */
  flag(key: string, value: boolean | undefined): this {
    if (value) this.list.push({ key, value: { boolValue: true } });
    return this;
  }
  texts(key: string, values: readonly string[]): this {
    if (values.length > 0) this.list.push({ key, value: { arrayValue: { values: values.map((stringValue) => ({ stringValue })) } } });
    return this;
  }
}
