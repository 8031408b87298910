import type { TenantStatus } from '../../core/model.ts';
import type { Step } from '../step.ts';

function setStatus(status: TenantStatus): Step {
  return {
    probe: async () => false,
    async apply({ sql, tenantId }) {
      sql.send('UPDATE tenants SET status = $2 WHERE id = $1', [tenantId, status]);
    },
  };
}

export const activate = setStatus('ACTIVE');
export const deactivate = setStatus('INACTIVE');
