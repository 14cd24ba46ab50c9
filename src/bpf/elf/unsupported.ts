/** This one program cannot be had; the object's others may. */
export class Unsupported extends Error {}
