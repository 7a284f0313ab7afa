import type { FrameMeter, FrameRole, Problem, StopReason, Usage } from "../canon/index.ts";
import { FrameTemplates } from "../kit/index.ts";

/**
 * What the meter of every language remembers of a stream, and the short way through a frame that differs from an earlier one in its
 * words alone. A language says how it reads the others.
 */
export abstract class StreamMeter implements FrameMeter {
  protected idSeen: string | undefined;
  protected modelSeen: string | undefined;
  protected stopSeen: StopReason | undefined;
  protected usageSeen: Usage | undefined;
  protected problemSeen: Problem | undefined;
  protected characters = 0;
  /** See `FrameMeter.called`. */
  protected hasCalled = false;
  /** Nothing that follows is read. */
  protected ended = false;
  protected readonly templates = new FrameTemplates();

  /** A frame unlike those before it. */
  protected abstract read(frame: Buffer): FrameRole;

  frame(frame: Buffer): FrameRole {
    if (this.ended) return "quiet";
    const characters = this.templates.characters(frame);
    if (characters === 0) return this.read(frame);
    this.characters += characters;
    return "output";
  }

  protected fail(problem: Problem): FrameRole {
    this.ended = true;
    this.problemSeen = problem;
    return "problem";
  }

  usage(): Usage | undefined {
    return this.usageSeen;
  }
  id(): string | undefined {
    return this.idSeen;
  }
  model(): string | undefined {
    return this.modelSeen;
  }
  stop(): StopReason | undefined {
    return this.stopSeen;
  }
  outputCharacters(): number {
    return this.characters;
  }
  problem(): Problem | undefined {
    return this.problemSeen;
  }
  called(): boolean {
    return this.hasCalled;
  }
}
