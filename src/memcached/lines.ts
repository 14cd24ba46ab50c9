/** Answers that several commands share, as memcached 1.6 words them. */
import { text } from "./reply.ts";

export const KEY_MAX_BYTES = 250;

export const END = text("END\r\n");
export const OK = text("OK\r\n");
export const NOT_FOUND = text("NOT_FOUND\r\n");
export const ERROR = text("ERROR\r\n");
export const BAD_FORMAT = text("CLIENT_ERROR bad command line format\r\n");
export const BAD_CHUNK = text("CLIENT_ERROR bad data chunk\r\n");
export const BAD_EXPTIME = text("CLIENT_ERROR invalid exptime argument\r\n");
export const NON_NUMERIC = text("CLIENT_ERROR cannot increment or decrement non-numeric value\r\n");
export const LINE_TOO_LONG = text("CLIENT_ERROR line too long\r\n");
export const TOO_LARGE = text("SERVER_ERROR object too large for cache\r\n");
export const INTERNAL = text("SERVER_ERROR internal error\r\n");
