/** Carries texts to the other processes of this machine. */
export interface Relay {
  /** Sends a text to all others, not to this one. */
  publish(channel: string, text: string): void;
  /** Calls with each text that another one has published on the channel. */
  subscribe(channel: string, listener: (text: string) => void): void;
  /** Calls when some may have been lost. */
  onMissed(listener: () => void): void;
}
