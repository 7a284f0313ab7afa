// The first module of a program that the launcher started as a child: ties its life to the launcher's, then runs the program.
import { Socket } from "node:net";
import { enter } from "./enter.mjs";

/** The pipe to the launcher; nothing is ever written to it. */
const TETHER_FD = 3;

// A launcher that was killed outright cannot forward a signal. Living on without it would keep port and data folder taken by a program
// nobody holds; so the pipe's end means what it meant to the launcher.
const tether = new Socket({ fd: TETHER_FD, readable: true, writable: false });
tether.on("error", () => process.kill(process.pid, "SIGKILL"));
tether.on("end", () => process.kill(process.pid, "SIGKILL"));
tether.resume();
tether.unref();

const [, , program, ...args] = process.argv;
await enter(program, args);
