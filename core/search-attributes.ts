/** Typed search attributes that operators filter by in the Temporal Web UI. Registered at every start, idempotently. */
export const searchAttributes = {
  MwTenant: 'Keyword',
  MwCustomization: 'Keyword',
  MwBusinessModel: 'Keyword',
  MwPhase: 'Keyword',
  MwTrigger: 'Keyword',
  MwFailureClass: 'Keyword',
  MwModelVersion: 'Keyword',
  MwLagSeconds: 'Double',
  MwSchema: 'Keyword',
  MwHeldReason: 'Text',
} as const;
