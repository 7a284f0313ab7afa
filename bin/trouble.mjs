/** A failure that is told to the user in its own words, without a stack. */
export class Trouble extends Error {}
