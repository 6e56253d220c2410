/** What keeps engines and libraries from telling their makers about whoever runs them; for the environment of their processes. */
export const noTelemetry = {
  /** ONNX Runtime on Linux, from 1.29 on: models, errors, and an identifier of the machine that it keeps in the home folder. */
  ORT_DISABLE_TELEMETRY: '1',
  /** The Temporal server: which version runs here. */
  TEMPORAL_VERSION_CHECK_DISABLED: '1',
} as const;

// Read when the library is loaded: whoever loads it imports this file first.
Object.assign(process.env, noTelemetry);
