import type { TenantStatus } from '../../core/model.ts';
import type { Step } from '../step.ts';

function setStatus(status: TenantStatus): Step {
  return {
    probe: async () => false,
    apply: async ({ setTenantStatus }) => setTenantStatus(status),
  };
}

export const activate = setStatus('ACTIVE');
export const deactivate = setStatus('INACTIVE');
