/** Ids that a caller may choose: safe in URLs, S3 keys, workflow ids and file names. */
export const idPattern = /^[a-z0-9](?:[a-z0-9-]{0,62}[a-z0-9])?$/;
/** Ids of examples: anything printable without white space or slash, at most 128 characters. */
export const exampleIdPattern = /^[!-.0-~]{1,128}$/;

export type CustomizationKey = { readonly tenantId: string; readonly customizationId: string };
export type RunKey = CustomizationKey & { readonly run: number };

export const tenantWorkflowId = (tenantId: string): string => `tenant/${tenantId}`;
export const runWorkflowId = ({ tenantId, customizationId, run }: RunKey): string => `tenant/${tenantId}/${customizationId}/run/${run}`;
export const versionName = (version: number): string => `v${version}`;

/**
 * Customization id of log markers: a row that is written and removed in one transaction, so that a comparison can see when everything before it
 * was sensed. No customization can have it.
 */
export const markerCustomizationId = '';
export const verificationWorkflowId = ({ tenantId, customizationId }: CustomizationKey): string =>
  `tenant/${tenantId}/${customizationId}/verify`;
export const forgetWorkflowId = ({ tenantId, customizationId, number }: CustomizationKey & { readonly number: number }): string =>
  `tenant/${tenantId}/${customizationId}/forget/${number}`;
