/**
 * Paths of the contract whose capability is not built yet. They answer 501 and say so, which is honest; a 404 would send their users
 * looking for a typing error.
 */
export const NOT_BUILT: readonly { readonly method: string; readonly path: string; readonly what: string }[] = [
  ...["/v1/feedback"].map((path) => ({
    method: "POST",
    path,
    what: path,
  })),
  { method: "POST", path: "/model/{model...}", what: "invoking models in their makers' own languages" },
];
